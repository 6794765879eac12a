"""Files and folders that are either complete or absent, and written by one process at a time."""

import errno
import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from icsd.errors import UserError

_FOLDER_IN_THE_WAY = {errno.ENOTEMPTY, errno.EEXIST}


@contextmanager
def exclusive(lock: Path, *, waiting: str) -> Iterator[None]:
    """Hold a lock file during the ``with`` block; the system releases it however the process ends.

    When ``dvc`` is killed, its child keeps working. The next ``dvc`` starts the same stage and has to wait.

    Args:
        lock: The file, which is not removed. It must not be among the outputs, which DVC deletes.
        waiting: What to print if another process holds the lock, before "; waiting for it".
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"{waiting}; waiting for it", flush=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def remove_if_free(folder: Path) -> None:
    """Remove a folder unless a process holds the lock in it."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes | memoryview, *, former: Path | None = None) -> None:
    """Write a file atomically, creating its folder: a reader sees either the old content or the new one.

    It is never written in place, as it may be a hard link to an object in DVC's cache.

    Args:
        path: The file.
        content: Its whole content.
        former: Where to keep the previous file; without it, the previous file is replaced.

    Raises:
        OSError: The file cannot be written; names ``path``. The previous file is unchanged.
    """
    with file_written_whole(path, former=former) as file:
        file.write(content)


@contextmanager
def file_written_whole(path: Path, *, former: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write to, which replaces ``path`` if the ``with`` block succeeds; see ``write_bytes``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    file = _new_file(path)
    unfinished = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if former is not None and path.exists():
            path.replace(former)
        unfinished.replace(path)
    except OSError as error:
        if error.errno and error.filename is None:  # a full disk
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def being_written(path: Path) -> bool:
    """Whether another process is in ``file_written_whole`` for this path."""
    _remove_abandoned(path)
    return any(path.parent.glob(f".{glob.escape(path.name)}.*.unfinished"))


def _new_file(path: Path) -> BinaryIO:
    """A new file next to ``path``, locked as long as its process has it open."""
    while True:
        file = _sibling(path, "unfinished").open("xb")
        with suppress(OSError):  # the file system has no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another process removed it as abandoned just before it was locked


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically with sorted keys, so that equal values give equal bytes."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())


@contextmanager
def folder_written_whole(destination: Path) -> Iterator[Path]:
    """A new folder to write to, which replaces ``destination`` only if the ``with`` block succeeds.

    Its name is unique to the process. The next process removes unfinished folders of killed processes, which
    it recognises by their released locks.
    """
    with place_beside(destination) as place:
        content = place / "content"
        content.mkdir()
        yield content
        replace_folder(content, destination)


@contextmanager
def place_beside(destination: Path) -> Iterator[Path]:
    """A locked folder next to ``destination`` for the ``with`` block; removes those of killed processes."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(destination)
    place = _sibling(destination, "unfinished")
    place.mkdir()
    lock = FileLock(place / "lock")
    lock.acquire()
    try:
        yield place
    finally:
        lock.release()
        shutil.rmtree(place, ignore_errors=True)


def _remove_abandoned(path: Path) -> None:
    """Remove unfinished files next to ``path`` whose lock is free, because their process was killed."""
    for place in path.parent.glob(f".{glob.escape(path.name)}.*.unfinished"):
        with suppress(OSError), (place / "lock" if place.is_dir() else place).open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if the process is alive
            _remove(place)


def replace_folder(source: Path, destination: Path) -> None:
    """Move ``source`` to ``destination``; an older folder there is renamed first and removed last.

    If they are on different disks, a copy is made next to the destination and renamed.
    """
    old = _sibling(destination, "old")
    while True:
        if os.path.lexists(destination):
            _move(destination, old)
        try:
            _move(source, destination)
        except BaseException as error:
            if os.path.lexists(old) and not os.path.lexists(destination):
                _move(old, destination)
            if not isinstance(error, OSError) or error.errno not in _FOLDER_IN_THE_WAY:
                raise
        else:
            break
        _remove(old)  # another process was faster: its folder is replaced, too
    for former in destination.parent.glob(f".{glob.escape(destination.name)}.*.old"):
        _remove(former)  # including those of killed processes


def _move(source: Path, destination: Path) -> None:
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        num_bytes = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        check_disk_space(destination.parent, num_bytes)
        with place_beside(destination) as place:
            shutil.copytree(source, place / "content", symlinks=True)
            (place / "content").rename(destination)
        _remove(source)


def _remove(path: Path) -> None:
    """Remove a folder, a file, or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sibling(path: Path, ending: str) -> Path:
    """A hidden path in the same folder that no other process uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")


def check_writable(output: Path) -> None:
    """Check before any work that a file or folder can be written; leaves nothing behind.

    Files that DVC made read-only do not matter, since they are replaced and not opened.

    Raises:
        UserError: A folder cannot be written; names it.
    """
    parent = next(folder for folder in output.parents if os.path.lexists(folder))
    for folder in (parent, output) if output.is_dir() else (parent,):
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written ({error.strerror}), so {output.name} would be lost in the end: "
                "change its owner or its mode, free some space, or move the project"
            ) from error


def check_disk_space(folder: Path, num_bytes: int) -> None:
    """Raise a UserError if ``num_bytes`` more do not fit on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise UserError(
            f"Not enough disk space in {folder.name}/: {num_bytes / 1e9:.1f} GB are needed, "
            f"{free / 1e9:.1f} GB are free. Free some, or move the project to a larger disk."
        )


def files_below(
    folder: Path,
    *,
    enter: Callable[[str], bool] = lambda name: True,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """All files below a folder, at any depth.

    Linked folders are followed, but each real folder is read once: a link to a folder above is a circle.

    Args:
        folder: Where to begin.
        enter: Whether to enter a folder of this name.
        on_error: Called for a folder that cannot be listed; by default, it counts as empty.
    """
    seen: set[Path] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=on_error):
        here = Path(parent)
        if (real := here.resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = filter(enter, folders)
        yield from (here / name for name in files)


def copy_file(source: Path, target: Path) -> None:
    """Make an independent copy, which shares blocks with the original if the file system supports it.

    It is never a hard link: DVC makes tracked files read-only, which would affect a linked original.
    """
    check_disk_space(target.parent, source.stat().st_size)
    with source.open("rb") as reader, file_written_whole(target) as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # not supported by this system; copy the ordinary way
            reader.seek(0)
            writer.seek(0)
            shutil.copyfileobj(reader, writer, 1 << 20)
