"""Files and folders that are either complete or not there, and written by one process at a time."""

import errno
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from icsd.errors import UserError

_FOLDER_IN_THE_WAY = {errno.ENOTEMPTY, errno.EEXIST}


@contextmanager
def exclusive(lock: Path, *, waiting: str) -> Iterator[None]:
    """Hold a lock file for the block; the system releases it when the process ends, however it ends.

    A killed ``dvc`` leaves its child working: the next one starts the same stage, and must wait for it.

    Args:
        lock: The file, which stays. Not among the outputs, which DVC deletes.
        waiting: What to print when another process holds it; "…; waiting for it" is added.
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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, and its folder: a reader sees the old content or the new one, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _sibling(path, "unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically, keys sorted, so that equal values are equal bytes."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())


@contextmanager
def folder_written_whole(destination: Path) -> Iterator[Path]:
    """A fresh folder to write to, which takes ``destination``'s place only when the block ends well.

    Its name is no other process's. What a killed process left unfinished is removed by the next one, which
    knows it by its lock: nobody holds it any more.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(destination)
    place = _sibling(destination, "unfinished")
    place.mkdir()
    lock = FileLock(place / "lock")
    lock.acquire()
    try:
        content = place / "content"
        content.mkdir()
        yield content
        replace_folder(content, destination)
    finally:
        lock.release()
        shutil.rmtree(place, ignore_errors=True)


def _remove_abandoned(destination: Path) -> None:
    for file in destination.parent.glob(f".{glob.escape(destination.name)}.*.unfinished/lock"):
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):  # in use, or gone meanwhile
            continue
        shutil.rmtree(file.parent, ignore_errors=True)
        lock.release()


def replace_folder(source: Path, destination: Path) -> None:
    """Move ``source`` to ``destination``; an older folder there steps aside first and goes last.

    The two may be on different disks: then a copy is made next to the destination, and renamed.
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
        _remove(old)  # another process was faster: its folder steps aside, too
    _remove(old)


def _move(source: Path, destination: Path) -> None:
    try:
        source.rename(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = _sibling(destination, "unfinished")
        try:
            num_bytes = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
            check_disk_space(destination.parent, num_bytes)
            shutil.copytree(source, copy, symlinks=True)
            copy.rename(destination)
        finally:
            _remove(copy)
        _remove(source)


def _remove(path: Path) -> None:
    """Remove a folder, or the link that stands in its place."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _sibling(path: Path, ending: str) -> Path:
    """A hidden name in the same folder, which no other process uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")


def check_disk_space(folder: Path, num_bytes: int) -> None:
    """Raises UserError when ``num_bytes`` more do not fit on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise UserError(
            f"Not enough disk space in {folder.name}/: {num_bytes / 1e9:.1f} GB are needed, "
            f"{free / 1e9:.1f} GB are free. Free some, or move the project to a larger disk."
        )


def copy_file(source: Path, target: Path) -> None:
    """An independent copy, sharing blocks with the original where the file system can.

    Never a hard link: DVC makes the files it tracks read-only, and a linked original would become so too.
    """
    check_disk_space(target.parent, source.stat().st_size)
    unfinished = _sibling(target, "unfinished")
    try:
        _copy_blocks(source, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _copy_blocks(source: Path, target: Path) -> None:
    if not hasattr(os, "copy_file_range"):
        shutil.copyfile(source, target)
        return
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                pass
        except OSError:  # file systems that cannot; start again the ordinary way
            reader.seek(0)
            writer.seek(0)
            shutil.copyfileobj(reader, writer, 1 << 20)
