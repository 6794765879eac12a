"""How much disk space the cached logits of the teacher may take, and what is removed to make room."""

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from stat import S_ISREG

from icsd.errors import UserError
from icsd.files import check_disk_space, files_below

SPARED = 10**9
"""Bytes of disk space that stay free for what matters more: checkpoints and results."""
IN_USE = 3600.0
"""Seconds for which a folder counts as used after a run has begun an epoch with it."""
FORGOTTEN = 7 * 24 * 3600.0
"""Seconds after which a folder that the grid does not need is removed, even if there is room."""


class Space:
    """The disk space of one run's folder, within the limit for all such folders.

    Args:
        folder: The folder of the run's files; the folders beside it count as well.
        most: Bytes that all these folders may take together.
        processes: Number of processes, each of which writes its own file in each epoch.
        epochs: Epochs of the run.
        asked_for: Names of the folders that the grid still needs.
        say: Prints a line.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most: float,
        processes: int,
        epochs: int,
        asked_for: Collection[str],
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._most = most
        self._processes = processes
        self._epochs = epochs
        self._asked_for = asked_for
        self._say = say
        self._said = False

    def refuse(self, num_bytes: int) -> str | None:
        """Why a file of so many bytes must not be written; None if it may.

        Older folders that the grid does not need are removed to make room. The first time that a file may be
        written, a line is printed about the space of all epochs.
        """
        root, needed = self._folder.parent, num_bytes * self._processes
        root.mkdir(parents=True, exist_ok=True)
        self._make_room(needed)
        used = size_of(root)
        if used + needed > self._most:
            return f"{_size(used)} are kept, and runtime.teacher_cache_gb allows {_size(self._most)}"
        try:
            check_disk_space(root, needed + SPARED)
        except UserError:
            return f"the disk has less than {_size(needed + SPARED)} left"
        if not self._said:
            self._said = True
            self._say(
                f"the teacher's logits are kept for other methods of this seed: {_size(needed)} an epoch, "
                f"{_size(needed * self._epochs)} in all, in .state/{root.name} "
                f"(at most {_size(self._most)}: runtime.teacher_cache_gb)"
            )
        return None

    def _make_room(self, needed: int) -> None:
        root = self._folder.parent
        kept = {self._folder.name, *self._asked_for}
        others = [place for place in root.iterdir() if place.is_dir() and place.name not in kept]
        for place in sorted(others, key=_last_use):
            unused = time.time() - _last_use(place)
            full = size_of(root) + needed > self._most
            if unused > FORGOTTEN or (unused > IN_USE and full):
                shutil.rmtree(place, ignore_errors=True)  # a run that reads there continues without it


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for file in files_below(folder):
        try:
            status = file.stat()
            total += status.st_size if S_ISREG(status.st_mode) else 0
        except OSError:  # another process has removed it
            continue
    return total


def _last_use(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return time.time()


def _size(num_bytes: float) -> str:
    unit, factor = next((pair for pair in (("GB", 1e9), ("MB", 1e6)) if num_bytes >= pair[1]), ("kB", 1e3))
    return f"{num_bytes / factor:.1f} {unit}"
