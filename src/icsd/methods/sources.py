"""Which source files a method is made of: what its results depend on, and no other method's."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icsd.files import sha256_of
from icsd.methods import class_of

PACKAGE = Path(__file__).resolve().parent.parent
# They check parameters; they make no number.
_CARRIERS = frozenset({"errors", "params", "methods", "methods.blocks"})


def sources_of(name: str, block: Mapping[str, Any]) -> dict[str, str]:
    """Path in ``src`` -> sha256, of the file of a block's method and of all that it imports from the project.

    Raises:
        UserError: There is no such method.
    """
    reached: set[str] = set()
    waiting = [f"methods.{class_of(name, block)}"]
    if "kd" in block["weights"]:
        waiting.append("methods.kd")  # it may join any method
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += _imports_of(module)
    files = sorted(_file(module) for module in reached)
    return {str(path.relative_to(PACKAGE.parent)): sha256_of(path) for path in files}


def _file(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def _imports_of(module: str) -> list[str]:
    """Modules below the package, by dotted name, that one imports with ``from icsd.… import …``."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    names = [
        node.module.removeprefix("icsd.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("icsd.")
    ]
    return [name for name in names if name not in _CARRIERS]
