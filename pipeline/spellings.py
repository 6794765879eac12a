"""Keep the former spelling ``python -m pipeline.train_teacher`` working, since scripts outlive releases."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

COMMANDS = {
    **{name: name for name in ("validate", "download", "preprocess", "evaluate", "report")},
    **{name: name for name in ("tune", "verify", "experiments")},
    "train_teacher": "train-teacher",
    "distill": "train-student",
    "baselines": "train-student",
}
"""Maps a former module in ``pipeline`` to its command."""


class FormerModules(MetaPathFinder):
    """Loads ``pipeline.<former module>`` from ``__main__.py``, which calls ``former_command``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a former module; None for any other."""
        package, _, name = fullname.partition(".")
        if package != "pipeline" or name not in COMMANDS:
            return None
        return spec_from_file_location(fullname, Path(__file__).with_name("__main__.py"))


def former_command(module: str) -> str | None:
    """The command of a former module, None for ``__main__``; prints a note on the current spelling."""
    command = COMMANDS.get(module.rpartition(".")[2])
    if command is not None:
        print(f"note: python -m {module} is spelled python -m pipeline {command} now", file=sys.stderr)
    return command
