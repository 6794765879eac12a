"""Is this the Python that the project was installed into? Asked before the project is imported.

An older Python has to read this file, too, so it keeps to what Python 3.6 knows.
"""

import sys
from importlib.util import find_spec

OLDEST = (3, 11)
PACKAGES = ("click", "dvc", "mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "torch", "torchvision")
"""Packages that every installation has; another Python may happen to have one or two of them."""
_OURS = ("icsd", "pipeline")


def check_python() -> None:
    """End with a message where this Python is too old for any other file of the project."""
    if sys.version_info < OLDEST:
        _end(f"needs Python {'.'.join(map(str, OLDEST))} or newer, and this is {sys.version.split()[0]}")


def check_environment() -> None:
    """End with a message where packages that every installation has are missing."""
    missing = [name for name in PACKAGES if not _is_installed(name)]
    if missing:
        _end(f"the project's packages are missing from this Python: {', '.join(missing)}")


def end_without(error: ImportError) -> None:
    """End with a message that names a package which cannot be imported.

    Raises:
        ImportError: It is no package's, but a module of the project itself.
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
    # An installation that was broken off, or undone, leaves folders without the package's first file.
    return spec is not None and spec.origin is not None


def _end(problem: str) -> None:
    print(
        f"error: {problem}\n  Python: {sys.executable}\n"
        "  Run the command through `uv run` (.venv/bin/uv run python -m pipeline ...), or activate the "
        "environment first (. .venv/bin/activate); README.md shows how to make one.",
        file=sys.stderr,
    )
    sys.exit(2)
