"""Decodes samples with several threads, in order, and collects the problems of single ones."""

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

import numpy as np

from icsd.core.labels import IGNORE, Pixels
from icsd.datasets.base import Dataset, Sample
from icsd.datasets.doctor import Decoded
from icsd.datasets.meaning import Counts
from icsd.datasets.reading.images import ShownImage, read_shown
from icsd.errors import UserError

Record = tuple[str, Pixels, Pixels]
"""Id, image uint8 [H, W, 3], label uint8 [H, W] in train ids."""

_HARMLESS = ("exif", "metadata", "mpo", "apng", "transparency")
"""Words of Pillow's warnings that do not concern the pixels: metadata, further images in the file."""
_HALF_TURNS = {2, 3, 4}
"""EXIF orientations that keep height and width."""


class _Read(NamedTuple):
    """The result of reading a sample's files; no record if there are problems."""

    record: Record | None
    numbers: Counts | None
    problems: list[str]
    remarks: list[str]
    has_mask: bool
    image: ShownImage | None


_Content = TypeVar("_Content")


class _Heard(threading.local):
    """Warnings of the decoder in this thread."""

    def __init__(self) -> None:
        self.warnings: list[str] = []


_heard = _Heard()


def records_of(
    dataset: Dataset, samples: Sequence[Sample], *, decoded: Decoded, threads: int
) -> Iterator[Record]:
    """Yields every usable sample, in order; ``decoded`` collects the problems and all numbers."""
    decoded.known = dataset.numbering
    with decoder_heard(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Read]] = deque()
        for sample in samples:
            waiting.append(pool.submit(_read, dataset, sample))
            if len(waiting) > 2 * threads:
                yield from _noted(waiting.popleft().result(), decoded)
        while waiting:
            yield from _noted(waiting.popleft().result(), decoded)


def _noted(read: _Read, decoded: Decoded) -> Iterator[Record]:
    decoded.problems += read.problems
    decoded.remarks += read.remarks
    if read.numbers is not None:
        decoded.numbers += read.numbers
    if read.image and read.image.brightest is not None:
        decoded.brightest_of_16_bits.append(read.image.brightest)
    if read.record and read.image and _fits_unturned(read.image):
        decoded.turned.append(read.record[0])
    if read.record:
        if (read.record[2] == IGNORE).all():
            (decoded.empty if read.has_mask else decoded.unmasked).append(read.record[0])
        yield read.record


def _fits_unturned(image: ShownImage) -> bool:
    """Whether a mask of the image's size would fit before the camera's note is applied, too."""
    height, width, _ = image.pixels.shape
    return image.orientation in _HALF_TURNS or (image.orientation != 1 and height == width)


def _read(dataset: Dataset, sample: Sample) -> _Read:
    problems: list[str] = []
    remarks: list[str] = []
    has_mask = sample.label != sample.image
    shown = _tried(lambda: read_shown(sample.image), f"image {sample.image.name}", problems, remarks)
    image = None if shown is None else shown.pixels
    numbers = _tried(lambda: dataset.read_numbers(sample), f"label {sample.label.name}", problems, remarks)
    if image is not None and numbers is not None and image.shape[:2] != numbers.shape:
        turned = image.shape[:2] == numbers.shape[::-1]
        advice = "; the camera's note of how it was held is applied to the image" if turned else ""
        problems.append(
            f"{sample.id}: image {image.shape[:2]} and label {numbers.shape} differ in size{advice}"
        )
    counts = None if numbers is None or not has_mask else np.bincount(numbers.reshape(-1), minlength=256)
    if problems or image is None or numbers is None:
        return _Read(None, counts, problems, remarks, has_mask, shown)
    record = sample.id, image, dataset.numbering.train_ids[numbers]
    return _Read(record, counts, problems, remarks, has_mask, shown)


def _tried(
    read: Callable[[], _Content], what: str, problems: list[str], remarks: list[str]
) -> _Content | None:
    """The content of one file; None if it cannot be read, or the decoder warns about its pixels."""
    _heard.warnings = []
    try:
        content = read()
    except UserError as error:
        problems.append(str(error))
        return None
    heard = dict.fromkeys(_heard.warnings)
    remarks += [f"{what} ({text})" for text in heard if _is_harmless(text)]
    doubts = [text for text in heard if not _is_harmless(text)]
    if doubts:
        problems.append(f"cannot read {what}: the decoder warns: {'; '.join(doubts)}")
    return None if doubts else content


def _is_harmless(text: str) -> bool:
    return any(word in text.lower() for word in _HARMLESS)


def checked_image(path: Path) -> Pixels:
    """An image as training would read it, uint8 [H, W, 3]; call it within ``decoder_heard``.

    Raises:
        UserError: It cannot be read, or the decoder warns about its pixels; names the file.
    """
    problems: list[str] = []
    image = _tried(lambda: read_shown(path), f"image {path.name}", problems, [])
    if image is None:
        raise UserError("; ".join(problems))
    return image.pixels


@contextmanager
def decoder_heard() -> Iterator[None]:
    """Context in which Pillow's warnings are collected per thread, and so per file, instead of printed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module=r"PIL\.")
        other = warnings.showwarning

        def note(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, UserWarning):
                _heard.warnings.append(" ".join(str(message).split()))
            else:
                other(message, category, filename, lineno, file, line)

        warnings.showwarning = note
        yield
