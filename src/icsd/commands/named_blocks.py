"""The commands' METHOD and ``--student``, which name blocks of params.yaml."""

from collections.abc import Sequence

from icsd.errors import UserError, did_you_mean
from icsd.params import Params


def check_named(params: Params, *, methods: Sequence[str], students: Sequence[str], lacking: str) -> None:
    """Check that all named blocks exist.

    Args:
        params: The whole parameter tree.
        methods: Blocks that must have a loss.
        students: Blocks of ``networks.students``.
        lacking: What a method without a loss lacks, and what that means, for the message.

    Raises:
        UserError: A block does not exist, or a method has no loss.
    """
    for method in methods:
        if method not in params.methods:
            hint = did_you_mean(method, sorted(params.methods))
            raise UserError(f"there is no block methods.{method} in params.yaml{hint}")
        if not params.methods[method].weights:
            raise UserError(f"methods.{method}: {method} has no {lacking}")
    for student in students:
        if student not in params.networks.students:
            hint = did_you_mean(student, sorted(params.networks.students))
            raise UserError(f"--student: there is no block networks.students.{student} in params.yaml{hint}")
