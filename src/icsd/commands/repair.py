"""Command ``repair``: mend what a killed ``dvc`` leaves behind."""

import json
from pathlib import Path

import psutil

from icsd.errors import UserError
from icsd.files import write_bytes

RWLOCK = Path(".dvc") / "tmp" / "rwlock"
"""Which process reads and writes which path; ``dvc`` rewrites it in place around every stage."""


def repair(root: Path) -> list[str]:
    """Replace DVC's lock file if it is damaged and no ``dvc`` is running; one line per thing checked.

    DVC refuses every command while that file is empty or cut off (treeverse/dvc#7615). The file says which
    process holds which path, and is worthless once those processes are gone.

    Raises:
        UserError: There is no DVC repository here, or another ``dvc`` is running in it.
    """
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: not a DVC repository; run from the root of the repository")
    path = root / RWLOCK
    if not lock_is_damaged(root):
        return [f"{RWLOCK}: in order"]
    if users := _dvc_processes(root):
        raise UserError(
            f"{RWLOCK} is damaged, but another dvc is running here (process {', '.join(map(str, users))}): "
            "wait for it, or end it, and repair then"
        )
    write_bytes(path, b"{}")
    return [f"{RWLOCK}: was damaged (a dvc was killed while it wrote it); mended"]


def lock_is_damaged(root: Path) -> bool:
    """Whether DVC would refuse every command because of its lock file."""
    path = root / RWLOCK
    try:
        return not isinstance(json.loads(path.read_bytes()), dict)
    except FileNotFoundError:
        return False
    except ValueError:
        return True


def _dvc_processes(root: Path) -> list[int]:
    """Processes that run ``dvc`` in this repository."""
    users = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words, folder = process.info["cmdline"] or [], process.info["cwd"]
        is_dvc = any(Path(word).name == "dvc" for word in words[:4])
        if is_dvc and folder and Path(folder).resolve().is_relative_to(root.resolve()):
            users.append(int(process.info["pid"]))
    return users
