"""METHOD and ``--student`` of the commands: blocks of params.yaml."""

from collections.abc import Sequence

from icsd.errors import UserError, did_you_mean
from icsd.params import Params


def check_named(params: Params, *, methods: Sequence[str], students: Sequence[str], lacking: str) -> None:
    """Whether all of them are there.

    Args:
        params: The whole tree.
        methods: Blocks that must have a loss.
        students: Blocks of ``networks.students``.
        lacking: What to say that a method without a loss has not, and what that means.

    Raises:
        UserError: One is not there, or a method has no loss.
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
