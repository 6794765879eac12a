"""Command ``repair``: mend what a killed ``dvc`` leaves behind."""

import json
import re
from pathlib import Path

import psutil

from icsd.commands.run.known import is_run
from icsd.errors import UserError
from icsd.files import write_bytes
from icsd.params import load_params
from icsd.stages.initial_weights import LINKS, remove_dead_links, settings_that_name
from icsd.yaml_files import conflict_in, parse_yaml

RWLOCK = Path(".dvc") / "tmp" / "rwlock"
"""Says which process reads and writes which path; ``dvc`` rewrites it in place around every stage."""
LOCK = Path("dvc.lock")
"""Has the inputs and outputs of every stage; ``dvc`` rewrites it in place after every stage."""
_STAGE = re.compile(rb"^(?:  [^\s#-]|\x00)", re.MULTILINE)
"""Beginning of a stage's first line in dvc.lock, or what a power cut leaves instead."""


def repair(root: Path) -> list[str]:
    """Repair DVC's own files if they are damaged and no ``dvc`` is running; one line per thing checked.

    DVC writes both files in place, and refuses every command while one of them is empty or cut off
    (treeverse/dvc#7615). ``rwlock`` says which process holds which path, and is useless once these processes
    are gone. ``dvc.lock`` keeps the stages before the cut; the next ``dvc repro`` finds the results of the
    others in DVC's cache, and runs none of them again.

    Links to missing files of initial weights are removed as well: DVC fails on them before the stage that
    would report it.

    Raises:
        UserError: There is no DVC repository here, another ``dvc`` is running in it, git could not merge
            dvc.lock, or params.yaml names a file that is gone.
    """
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: not a DVC repository; run from the root of the repository")
    if conflict := conflict_of_lock(root):
        raise UserError(conflict)
    damaged = damaged_files(root)
    if damaged and (users := _dvc_processes(root)):
        raise UserError(
            f"{damaged[0]} is damaged, but another dvc is running here "
            f"(process {', '.join(map(str, users))}): wait for it, or end it, and repair then"
        )
    lines = [
        f"{name}: was damaged (a dvc was killed while it wrote it); {_mend(root, name)}"
        if name in damaged
        else f"{name}: in order"
        for name in (RWLOCK, LOCK)
    ]
    if gone := remove_dead_links(root):
        lines += [f"{LINKS}: removed the link to {file}, which is gone" for file in gone]
        _refuse_missing(root, gone, done=lines)
    return lines


def _refuse_missing(root: Path, gone: list[Path], *, done: list[str]) -> None:
    """Raise an error if params.yaml still names a missing file, which cannot be repaired here."""
    params = load_params(root)
    missing = [
        f"{', '.join(settings)}: there is no file {file}; bring it back, or name another one in params.yaml"
        for file in gone
        if (settings := settings_that_name(root, params, file))
    ]
    if missing:
        raise UserError("\n".join([*missing, *done]))


def damaged_files(root: Path) -> list[Path]:
    """Those of DVC's own files that are so damaged that DVC would refuse every command."""
    readable = {RWLOCK: _is_json, LOCK: _is_lock}
    return [
        name
        for name, is_readable in readable.items()
        if (root / name).is_file() and not is_readable((root / name).read_bytes())
    ]


def conflict_of_lock(root: Path) -> str | None:
    """What to do if git could not merge dvc.lock, both sides of which are intact; None if it could."""
    path = root / LOCK
    conflict = conflict_in(path.read_bytes(), LOCK) if path.is_file() else None
    return conflict and f"{LOCK}: {conflict}; then `dvc repro` brings it up to date"


def _is_json(content: bytes) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def _is_lock(content: bytes) -> bool:
    """Whether DVC would read this as dvc.lock."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(content, LOCK))
    except (Invalid, UserError):
        return False
    return True


def _mend(root: Path, name: Path) -> str:
    if name == RWLOCK:
        write_bytes(root / RWLOCK, b"{}")
        return "mended"
    content = (root / LOCK).read_bytes()
    begins = [match.start() for match in _STAGE.finditer(content)]
    for number, begin in reversed(list(enumerate(begins))):
        if _is_lock(content[:begin]):
            write_bytes(root / LOCK, content[:begin])
            return (
                f"mended, with the first {number} stages; `dvc repro` brings the others back from its cache"
            )
    (root / LOCK).unlink()
    return "removed; `dvc repro` brings all stages back from its cache"


def _dvc_processes(root: Path) -> list[int]:
    """Processes that run ``dvc``, or ``python -m pipeline run``, in this repository."""
    users = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words, folder = process.info["cmdline"] or [], process.info["cwd"]
        is_dvc = is_run(words) or any(Path(word).name == "dvc" for word in words[:4])
        if is_dvc and folder and Path(folder).resolve().is_relative_to(root.resolve()):
            users.append(int(process.info["pid"]))
    return users
