"""A file of a teacher's logits in one epoch: a record per batch, each with its own digest.

The digest covers the logits and a sample of the batch's images. A record is therefore used only for the views
it was written for, whatever its file is called, and damage is detected at the batch it affects.
"""

import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from icsd.files import being_written, file_written_whole
from icsd.training.spent import Spent

_MAGIC = b"icsd teacher logits 2 "
_HEAD = 512
_DIGEST = 32
_SAMPLED = 61
"""Stride at which image values enter the digest; prime, so that all rows and columns are covered."""
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def file_bytes(logits: Tensor, batches: int) -> int:
    """Size of an epoch's file in bytes, for ``batches`` batches as large as ``logits`` [B, C, h, w]."""
    return _HEAD + batches * (_DIGEST + logits.numel() * logits.element_size())


def can_hold(logits: Tensor) -> bool:
    """Whether a file preserves the logits exactly, including their memory layout."""
    return logits.dtype in _DTYPES.values() and (
        logits.is_contiguous() or logits.is_contiguous(memory_format=torch.channels_last)
    )


class LogitsWriter:
    """Writes an epoch's file next to its final path and moves it there when it is complete; see ``claim``."""

    def __init__(self, path: Path, batches: int) -> None:
        self._batches = batches
        self._described: dict[str, Any] | None = None
        self._stack = ExitStack()
        self._file = self._stack.enter_context(file_written_whole(path))
        self._file.write(bytes(_HEAD))  # an incomplete file has no valid header

    def write(self, images: Tensor, logits: Tensor) -> None:
        """Write the next batch: images as the loader gives them, and the teacher's logits [B, C, h, w].

        Raises:
            OSError: They cannot be written.
            ValueError: ``can_hold`` is false for them, or their shape, dtype or layout differs from the
                previous batch's.
        """
        last = not logits.is_contiguous()
        described = {"shape": list(logits.shape), "dtype": str(logits.dtype)[6:], "channels_last": last}
        if self._described not in (None, described) or not can_hold(logits):
            raise ValueError(f"logits {described} after {self._described}")
        self._described = described
        stored = logits.detach().cpu()
        content = _bytes_of((stored.permute(0, 2, 3, 1) if last else stored).contiguous())
        self._file.write(_digest(images, content))
        self._file.write(content)

    def publish(self, taught: Spent) -> None:
        """Move the file to its final path; ``taught`` is the time the teacher took for all batches.

        Raises:
            OSError: It cannot be written.
        """
        described = {**(self._described or {}), "batches": self._batches, **asdict(taught)}
        content = json.dumps(described).encode()
        try:
            self._file.seek(0)
            self._file.write(_MAGIC + hashlib.sha256(content).hexdigest().encode() + b" " + content)
            self._stack.close()
        except OSError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Discard what was written."""
        error = _AbandonedError()
        self._stack.__exit__(type(error), error, None)


class _AbandonedError(Exception):
    """Makes the file's context manager discard the file."""


def claim(path: Path, batches: int) -> LogitsWriter | None:
    """A writer of the file; None if another process is writing it.

    Two processes that ask at the same moment may both write: each file is complete, with the same logits.

    Raises:
        OSError: It cannot be written.
    """
    return None if being_written(path) else LogitsWriter(path, batches)


class LogitsReader:
    """Reads the file of an epoch, batch by batch.

    Args:
        path: Path of the file.
        batches: Number of batches of the epoch.

    Raises:
        OSError: It does not exist or cannot be read.
        ValueError: It is damaged, or of an epoch with another number of batches.
    """

    def __init__(self, path: Path, batches: int) -> None:
        self._file = path.open("rb")
        try:
            head = _head(self._file.read(_HEAD))
            self._shape = torch.Size(head["shape"])
            self._dtype = _DTYPES[head["dtype"]]
            self._channels_last = bool(head["channels_last"])
            self.taught = Spent(float(head["seconds"]), float(head["processor"]))  # time the teacher took
            self._bytes = self._shape.numel() * self._dtype.itemsize
            size = path.stat().st_size
            if head["batches"] != batches or size != _HEAD + batches * (_DIGEST + self._bytes):
                raise ValueError("is not of this epoch, or was cut off")
        except (ValueError, KeyError, TypeError) as error:
            self.close()
            raise ValueError(str(error) if type(error) is ValueError else "is damaged") from error

    def read(self, images: Tensor) -> Tensor:
        """The logits [B, C, h, w] of the next batch, on the CPU.

        Raises:
            OSError: They cannot be read.
            ValueError: They are damaged or belong to other images.
        """
        digest, content = self._file.read(_DIGEST), bytearray(self._bytes)
        self._file.readinto(content)
        if digest != _digest(images, content):
            raise ValueError("is damaged, or of other images")
        flat = torch.frombuffer(content, dtype=self._dtype)
        if not self._channels_last:
            return flat.view(self._shape)
        batch, channels, height, width = self._shape
        return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _head(content: bytes) -> dict[str, Any]:
    start = len(_MAGIC) + 64
    digest, described = content[len(_MAGIC) : start], content[start:].strip(b" \0")
    if not content.startswith(_MAGIC) or digest != hashlib.sha256(described).hexdigest().encode():
        raise ValueError("is damaged or of another version")
    head: dict[str, Any] = json.loads(described)
    return head


def _digest(images: Tensor, content: bytes | bytearray) -> bytes:
    sample = images.detach().reshape(-1)[::_SAMPLED].cpu().contiguous()
    digest = hashlib.sha256(_bytes_of(sample))
    digest.update(content)
    return digest.digest()


def _bytes_of(values: Tensor) -> bytes:
    return values.view(torch.uint8).numpy().tobytes()
