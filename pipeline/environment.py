"""Is this the Python that the project was installed into? Asked before the project is imported."""

import sys
from importlib.util import find_spec

OLDEST = (3, 11)
PACKAGES = ("click", "dvc", "mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "torch", "torchvision")
"""Packages that every installation has; another Python may happen to have one or two of them."""


def check_environment() -> None:
    """End with a message where the interpreter or its packages are not the project's."""
    if sys.version_info < OLDEST:
        _end(f"needs Python {'.'.join(map(str, OLDEST))} or newer, and this is {sys.version.split()[0]}")
    if missing := [name for name in PACKAGES if not _is_installed(name)]:
        _end(f"the project's packages are missing from this Python: {', '.join(missing)}")


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _end(problem: str) -> None:
    print(
        f"error: {problem}\n  Python: {sys.executable}\n"
        "  Run the command through `uv run` (.venv/bin/uv run python -m pipeline ...), or activate the "
        "environment first (. .venv/bin/activate); README.md shows how to make one.",
        file=sys.stderr,
    )
    sys.exit(2)
