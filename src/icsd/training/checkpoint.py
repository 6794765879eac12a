"""The state of an interrupted run: written whole or not at all, read without executing code."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from icsd.errors import UserError


def save_state(state: dict[str, Any], path: Path) -> None:
    """Replace the file atomically: a process that is killed leaves the former state."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The state at ``path`` on the CPU, or None where there is none.

    Raises:
        UserError: The file is damaged; it names the file to delete.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path}: the state of an interrupted run is damaged ({type(error).__name__}: {error}); "
            "delete this file to train from the beginning"
        ) from error
    return state


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock the run's folder: a killed ``dvc`` leaves its child training, and the next must wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process is training this run ({folder}); waiting for it", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
