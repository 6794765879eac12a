"""Check that this Python has the project's packages, before the project is imported.

Older Pythons must be able to run this file, so it uses only syntax of Python 3.6.
"""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn  # since Python 3.6.2

OLDEST = (3, 11)
PACKAGES = ("click", "dvc", "mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "torch", "torchvision")
"""Packages that every installation has. Another Python may have a few of them by chance."""
_OURS = ("icsd", "pipeline")


def check_python() -> None:
    """Exit with a message if this Python is too old for the rest of the project."""
    if sys.version_info < OLDEST:
        _end(f"needs Python {'.'.join(map(str, OLDEST))} or newer, and this is {sys.version.split()[0]}")


def check_environment() -> None:
    """Exit with a message if packages that every installation has are missing."""
    missing = [name for name in PACKAGES if not _is_installed(name)]
    if missing:
        _end(f"the project's packages are missing from this Python: {', '.join(missing)}")


def end_without(error: ImportError) -> "NoReturn":
    """Exit with a message that names the package that cannot be imported.

    Raises:
        ImportError: ``error`` itself, if it is about a module of the project.
    """
    name = (error.name or "").split(".")[0]
    if name in _OURS:
        raise error
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    _end(f"{name or 'a package'} cannot be imported, so it is missing from this Python or damaged: {reason}")


def _is_installed(name: str) -> bool:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return False
    # An interrupted or removed installation can leave a folder without the package's __init__.py.
    return spec is not None and spec.origin is not None


def _end(problem: str) -> "NoReturn":
    print(
        f"error: {problem}\n  Python: {sys.executable}\n"
        "  Run the command through `uv run` (.venv/bin/uv run python -m pipeline ...), or activate the "
        "environment first (. .venv/bin/activate); README.md shows how to make one.",
        file=sys.stderr,
    )
    sys.exit(2)
