"""Which source files determine a result: the list of such rooms, and the walk along their imports.

Code that only reads parameters, looks up names, records, monitors or displays is in none of these rooms, so
editing it makes no network stale. dvc.yaml lists the same rooms per stage; tests/test_graph.py compares them.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from icsd.files import sha256_of

SOURCE = Path(__file__).resolve().parents[2]
"""The folder above the package; paths of source files are relative to it."""
PACKAGE = "icsd"
RESULT_ROOMS = (
    *("core", "data", "datasets", "evaluation", "methods", "models", "training"),
    *("stages.evaluation", "stages.training"),
)
"""The rooms whose code can change a network or its measured results."""
REGISTRIES = frozenset({f"{PACKAGE}.datasets", f"{PACKAGE}.methods", f"{PACKAGE}.methods.blocks"})
"""Modules of these rooms that only look things up by name. Not followed, since they import every method."""
TRAINING = f"{PACKAGE}.stages.training.run"
"""The module in which the training of every network starts."""


def code_of_training() -> dict[str, str]:
    """Path -> SHA-256 of the files that determine every network, whatever its method."""
    return digests_of([TRAINING])


def code_of_method(name: str, block: Mapping[str, Any]) -> dict[str, str]:
    """Path -> SHA-256 of a method's file and of everything it imports, but of no unrelated method.

    Raises:
        UserError: There is no such method.
    """
    from icsd.methods import class_of  # imports torch

    modules = [f"{PACKAGE}.methods.{class_of(name, block)}"]
    if "kd" in block["weights"]:
        modules.append(f"{PACKAGE}.methods.kd")  # pixel-wise KD can join any method
    return digests_of(modules)


def digests_of(modules: Iterable[str]) -> dict[str, str]:
    """Path -> SHA-256 of the files that :func:`files_behind` gives, sorted by path."""
    paths = sorted(files_behind(modules))
    return {path.relative_to(SOURCE).as_posix(): sha256_of(path) for path in paths}


def files_behind(modules: Iterable[str], *, rooms: tuple[str, ...] = RESULT_ROOMS) -> set[Path]:
    """The files of ``modules`` and of all that they import, directly or through others, within ``rooms``."""
    files: set[Path] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        file = file_of(name)
        if file is None or file in files or name in REGISTRIES or not _is_in(name, rooms):
            continue
        files.add(file)
        waiting += imported_by(file)
    return files


def file_of(module: str) -> Path | None:
    """The file of a module, or of a package's ``__init__``; None for a name that is neither."""
    base = SOURCE.joinpath(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


@cache
def imported_by(file: Path) -> frozenset[str]:
    """Dotted names that a file imports from the package, at any level but under ``TYPE_CHECKING``.

    Some of them name a class or a function: ``from a.b import c`` gives ``a.b`` and ``a.b.c``.
    """
    return frozenset(
        name
        for name in _imported(ast.parse(file.read_text(encoding="utf-8")))
        if name == PACKAGE or name.startswith(f"{PACKAGE}.")
    )


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for statement in node.orelse:
            yield from _imported(statement)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imported(child)


def _is_in(module: str, rooms: tuple[str, ...]) -> bool:
    inside = module.removeprefix(f"{PACKAGE}.")
    return any(inside == room or inside.startswith(f"{room}.") for room in rooms)
