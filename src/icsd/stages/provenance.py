"""What a trained network was made of, as digests: source files, data, teacher, weights to start from.

Training writes them into train.json and never goes on with an interrupted run under others; ``verify``
compares them with today's.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from icsd.data.shards import MANIFEST
from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.methods.sources import sources_of
from icsd.params import Params
from icsd.runs import RunKey, data_folder
from icsd.stages.grid import teacher_key

PACKAGE = Path(__file__).resolve().parent.parent
CARRIERS = frozenset(
    f"icsd.{name}"
    for name in (
        *("errors", "params", "params.schema", "files", "records", "runs", "tracking", "datasets"),
        *("methods", "methods.blocks", "methods.sources", "monitoring.health", "monitoring.probe"),
        *("stages.device", "stages.grid", "stages.provenance", "stages.recording.pictures"),
        *("stages.tuned_weights", "stages.validate"),
    )
)
"""Modules that carry numbers and make none, as dvc.yaml has it; they are neither hashed nor followed."""


def origin_of(root: Path, params: Params, key: RunKey) -> dict[str, Any]:
    """The digests of everything that is not a parameter and determines a run's result.

    Returns:
        ``code``: path in ``src`` -> sha256, of the trainer's files and of the method's own; ``data``: of the
        manifest, which holds the digest of every shard; ``teacher`` and ``pretrained``: of weights, or None.

    Raises:
        UserError: A student has no teacher yet.
    """
    teacher = None if key.is_teacher else root / teacher_key(params).weights
    if teacher is not None and not teacher.exists():
        raise UserError(
            f"{teacher.relative_to(root)}: there is no teacher yet; run `dvc repro train_teacher`"
        )
    pretrained = params.networks.pretrained
    local = Path(pretrained) if isinstance(pretrained, str) else None
    return {
        "code": code_of(params, key),
        "data": sha256_of(root / data_folder(params.dataset) / MANIFEST),
        "teacher": sha256_of(teacher) if teacher else None,
        "pretrained": sha256_of(local) if local and local.exists() else None,
    }


def code_of(params: Params, key: RunKey) -> dict[str, str]:
    """Path in ``src`` -> sha256, of the files that determine a run: another method's are not among them."""
    found = {
        path.relative_to(PACKAGE.parent).as_posix(): sha256_of(path)
        for path in _reached_from(PACKAGE / "stages" / "training" / "run.py")
    }
    if not key.is_teacher:
        found |= sources_of(key.method, params.methods[key.method].block)
    return dict(sorted(found.items()))


@cache
def _reached_from(start: Path) -> frozenset[Path]:
    """``start`` and all files of the package that it imports, directly or through others."""
    reached: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += (file for name in _imports_of(path) if (file := _file(name)) is not None)
    return frozenset(reached)


def _imports_of(path: Path) -> Iterator[str]:
    """Dotted names that a file imports from the package; some name a class or function and no module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path | None:
    """The file of a module, or of a package's ``__init__``; None for a carrier and for what is no module."""
    if module in CARRIERS or module == PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*module.split(".")[1:])
    return next(
        (file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()),
        None,
    )
