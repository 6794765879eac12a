"""Compares DVC's cache and the outputs in the workspace with the digests in dvc.lock; reads every byte."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from icsd.commands.repair import LOCK, RWLOCK, conflict_of_lock, damaged_files
from icsd.commands.verify.checks import Check, State, check_of

_FOLDER = ".dir"
"""Suffix of a folder's digest; the folder's object lists its files."""


@dataclass(frozen=True)
class _Output:
    """An output of a stage, as dvc.lock describes it.

    Attributes:
        path: Path, relative to the root of the repository.
        stage: The stage that writes it.
        digest: MD5 digest, with the suffix ``.dir`` for a folder.
        cached: Whether DVC keeps a copy of it.
    """

    path: Path
    stage: str
    digest: str
    cached: bool


class _Digests:
    """MD5 digests of files, computed once for a file and its hard links."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], str] = {}

    def of(self, path: Path) -> str:
        status = path.stat()
        key = (status.st_dev, status.st_ino)
        if key not in self._known:
            with path.open("rb") as stream:
                self._known[key] = hashlib.file_digest(
                    stream, lambda: hashlib.md5(usedforsecurity=False)
                ).hexdigest()
        return self._known[key]


def check_cache(root: Path) -> Iterator[Check]:
    """Check DVC's lock files, the objects in its cache, and the outputs; nothing if DVC is not in use."""
    if not (root / ".dvc").is_dir() or not (root / LOCK).exists():
        return
    damaged = damaged_files(root)
    conflict = conflict_of_lock(root)
    lines = [
        conflict if conflict and name == LOCK else f"{name}: damaged; `python -m pipeline repair` mends it"
        for name in damaged
    ]
    yield check_of("locks", lines, same=f"{LOCK} is readable, and {RWLOCK} where there is one")
    if LOCK in damaged:
        return
    try:
        with Repo(str(root)) as repo:
            outputs, cache = _outputs(root, repo), Path(repo.cache.local.path)
            listings = {output.path: _files_in(root / output.path, repo) for output in outputs}
    except DvcException as error:
        yield Check("cache", State.DIFFERS, (f"DVC cannot read its own files: {error}",))
        return
    digests = _Digests()
    changed = {
        output.path: list(_changes(root, output, listings[output.path], cache, digests)) for output in outputs
    }
    whole = {path for path, lines in changed.items() if not lines}
    yield _check_objects(root, outputs, cache, digests, whole)
    findings = [line for output in outputs for line in changed[output.path]]
    yield check_of("outputs", findings, same=f"{len(outputs)} outputs are as dvc.lock says")


def _outputs(root: Path, repo: Any) -> list[_Output]:  # noqa: ANN401 - DVC has no type information
    return [
        _Output(
            path=Path(out.fs_path).relative_to(root.resolve()),
            stage=out.stage.addressing,
            digest=out.hash_info.value,
            cached=out.use_cache,
        )
        for out in repo.index.outs
        if out.hash_info
    ]


def _files_in(folder: Path, repo: Any) -> list[str]:  # noqa: ANN401 - DVC has no type information
    """The files of a folder that .dvcignore does not exclude, relative to the folder."""
    if not folder.is_dir():
        return []
    place = folder.resolve()
    found = repo.dvcignore.find(repo.fs, str(place))
    return sorted(Path(path).relative_to(place).as_posix() for path in found)


def _object(cache: Path, digest: str) -> Path:
    return cache / digest[:2] / digest[2:]


def _listed(cache: Path, digest: str) -> dict[str, str] | None:
    """File -> digest, from a folder's object in the cache; None if that is missing or damaged."""
    try:
        content = _object(cache, digest).read_bytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != digest.removesuffix(_FOLDER):
            return None
        return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_objects(
    root: Path, outputs: list[_Output], cache: Path, digests: _Digests, whole: set[Path]
) -> Check:
    """Check that every object in dvc.lock exists, and that its content has the digest in its name.

    ``whole`` are the outputs in the workspace that agree with dvc.lock: DVC can restore objects from them.
    """
    damaged: list[str] = []
    missing: list[str] = []
    seen: set[str] = set()
    for output in outputs:
        for digest in _objects_of(output, cache) if output.cached else ():
            if digest in seen:
                continue
            seen.add(digest)
            path = _object(cache, digest)
            home = root.resolve()
            shown = path.relative_to(home) if path.is_relative_to(home) else path
            again = f"`dvc commit -f {output.stage}`" if output.path in whole else "`dvc pull` or `dvc repro`"
            if not path.exists():
                missing.append(f"{shown}: missing, part of {output.path}; {again} puts it there")
            elif digests.of(path) != digest.removesuffix(_FOLDER):
                gone = "it" if output.path in whole else f"it and {output.path}"
                damaged.append(
                    f"{shown}: damaged, part of {output.path}; delete {gone}, then {again} puts it there"
                )
    if missing and not damaged:
        return Check("objects", State.MISSING, tuple(missing))
    same = f"{len(seen)} objects of DVC's cache are what their names say"
    return check_of("objects", damaged + missing, same=same)


def _objects_of(output: _Output, cache: Path) -> list[str]:
    listed = _listed(cache, output.digest) if output.digest.endswith(_FOLDER) else None
    return [output.digest, *(listed or {}).values()]


def _changes(root: Path, output: _Output, files: list[str], cache: Path, digests: _Digests) -> Iterator[str]:
    """The differences between an output and dvc.lock, one line each."""
    path = root / output.path
    remedy = "`dvc checkout` brings it back" if output.cached else "`dvc repro` writes it again"
    if not path.exists():
        yield f"{output.path}: missing; {remedy}"
        return
    if not output.digest.endswith(_FOLDER):
        if path.is_dir() or digests.of(path) != output.digest:
            yield f"{output.path}: not what {output.stage} wrote; {remedy}"
        return
    now = {name: digests.of(path / name) for name in files}
    recorded = _listed(cache, output.digest)
    if recorded is None:
        if _folder_digest(now) != output.digest:
            yield f"{output.path}: not what {output.stage} wrote; {remedy}"
        return
    for name in sorted(recorded.keys() | now.keys()):
        if name not in now:
            yield f"{output.path / name}: missing; {remedy}"
        elif name not in recorded:
            yield f"{output.path / name}: {output.stage} wrote no such file; delete it, or run `dvc repro`"
        elif recorded[name] != now[name]:
            yield f"{output.path / name}: not what {output.stage} wrote; {remedy}"


def _folder_digest(files: dict[str, str]) -> str:
    """DVC's digest of a folder: the MD5 of the list of its files."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    content = json.dumps(entries, sort_keys=True).encode()
    return hashlib.md5(content, usedforsecurity=False).hexdigest() + _FOLDER
