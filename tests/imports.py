"""Where the project's files are, and what a module imports, read from its source."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from icsd.stages.code import file_of, imported_by

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"


@cache
def names_imported_by(path: Path) -> frozenset[str]:
    """Dotted names of modules and what is taken from them, anywhere in a file, for type checking as well."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def imports_of(path: Path) -> set[Path]:
    """Files of the package that a file imports; a package stands for its ``__init__``."""
    return _files(names_imported_by(path)) - {path}


def runtime_imports_of(path: Path) -> set[Path]:
    """The same without imports for type checking alone."""
    return _files(imported_by(path)) - {path}


def _files(names: Iterable[str]) -> set[Path]:
    files = (file_of(name) for name in names if name.split(".")[0] == "icsd")
    return {file for file in files if file is not None}
