"""Checkpoints of an interrupted run. The last two are kept, and each is verified before it is used.

A file is one line with the layout and the SHA-256 of the rest, followed by the output of ``torch.save``,
which is read without executing code.
"""

import errno
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from icsd.files import write_bytes

State = dict[str, Any]
Result = TypeVar("Result")
_LAYOUT = b"icsd checkpoint 1 "
_HEAD = len(_LAYOUT) + 64 + 1


def save_state(state: State, path: Path) -> None:
    """Write ``state`` to ``path`` and keep the previous one as the former state.

    If the process is killed meanwhile, the two previous states remain.
    """
    buffer = io.BytesIO()
    buffer.seek(_HEAD)
    torch.save(state, buffer)
    with buffer.getbuffer() as content:
        digest = hashlib.sha256(content[_HEAD:]).hexdigest()
        content[:_HEAD] = _LAYOUT + digest.encode() + b"\n"
        write_bytes(path, content, former=former(path))


def former(path: Path) -> Path:
    """The path of the state before the newest."""
    return path.with_stem(f"{path.stem}-former")


def remove_states(path: Path) -> None:
    """Remove the newest state and the one before."""
    for file in (path, former(path)):
        file.unlink(missing_ok=True)


def resume(path: Path, use: Callable[[State], Result]) -> tuple[Result | None, list[str]]:
    """Pass the newest valid state to ``use``; remove states that are damaged or rejected.

    Args:
        path: Path of the newest state.
        use: Takes a state, on the CPU. If the state is not of this run, it raises ValueError before it
            changes anything.

    Returns:
        The result of ``use`` (None if there is no valid state), and a phrase about each invalid one.

    Raises:
        OSError: A file cannot be read but may be valid.
    """
    problems: list[str] = []
    for file in (path, former(path)):
        try:
            return use(_read(file)), problems
        except FileNotFoundError:
            continue
        except ValueError as error:
            problems.append(f"{file.name} {error}")
            file.unlink(missing_ok=True)  # or the next save would keep it as the former state
    return None, problems


def _read(path: Path) -> State:
    """Read and verify a state; a ValueError's message is the end of a sentence about the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        if error.errno == errno.EIO:
            raise ValueError("cannot be read from the disk") from error
        raise
    head, payload = content[:_HEAD], memoryview(content)[_HEAD:]
    if not head.startswith(_LAYOUT):
        raise ValueError("is damaged or of another version")
    if head[len(_LAYOUT) :] != hashlib.sha256(payload).hexdigest().encode() + b"\n":
        raise ValueError("is damaged: its content does not have its digest")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the reason, the run continues without this state
        raise ValueError(f"is no state ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise ValueError("is no state")
    return state
