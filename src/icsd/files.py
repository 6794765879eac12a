"""Files and folders that are either complete or not there."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icsd.errors import UserError


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, and its folder: a reader sees the old content or the new one, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
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

    What a killed process left unfinished is removed by the next one.
    """
    unfinished = destination.with_name(f".{destination.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        replace_folder(unfinished, destination)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def replace_folder(source: Path, destination: Path) -> None:
    """Moves ``source`` to ``destination``; an older folder there steps aside first and goes last."""
    old = destination.with_name(f".{destination.name}.old")
    shutil.rmtree(old, ignore_errors=True)  # of a killed process
    if destination.exists():
        destination.rename(old)
    source.rename(destination)
    shutil.rmtree(old, ignore_errors=True)


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
    unfinished = target.with_name(target.name + ".unfinished")
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
