"""The command: reads, checks and shows experiments."""

from collections.abc import Sequence
from pathlib import Path

from icsd.commands.experiments.reading import read_experiments
from icsd.commands.experiments.table import to_csv, to_text
from icsd.errors import UserError


def show_experiments(
    root: Path, *, methods: Sequence[str] | None = None, all_commits: bool = False, as_csv: bool = False
) -> str:
    """The table of the repository's experiments as text.

    Args:
        root: The repository.
        methods: The methods to show; None for all.
        all_commits: Whether to show experiments of all commits, not only of the current one.
        as_csv: Whether to return CSV: a row per experiment, network and method, numbers as fractions.

    Raises:
        UserError: DVC cannot list the experiments, or no experiment has results of one of the methods.
    """
    experiments = read_experiments(root, all_commits=all_commits)
    known = sorted({method for experiment in experiments for _, method in experiment.scores})
    for method in methods or ():
        if known and method not in known:
            raise UserError(
                f"{method}: no experiment has results of this method; known are {', '.join(known)}"
            )
    return to_csv(experiments, methods) if as_csv else to_text(experiments, methods)
