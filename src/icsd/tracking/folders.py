"""Where journals lie, and who may touch them."""

import os
from pathlib import Path

from filelock import FileLock


def main_root(root: Path) -> Path:
    """The repository that keeps state and runs: DVC's main one, also inside its temporary experiments."""
    return Path(os.environ.get("DVC_ROOT") or root).resolve()


def journals(root: Path) -> list[Path]:
    """The folders of all journals below the ignored ``.state``."""
    return sorted(path.parent for path in (main_root(root) / ".state").rglob("journal.jsonl"))


def journal_lock(folder: Path) -> FileLock:
    """Held by the process that records into, or delivers from, the journal in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock")
