"""IMAGES of the command: which files are meant, what their outputs are called, and their pixels."""

import glob
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from icsd.commands.predict.outputs import NOTE
from icsd.core.labels import Pixels
from icsd.datasets.reading.images import IMAGE_SUFFIXES
from icsd.datasets.samples import checked_image, decoder_heard
from icsd.errors import UserError


@dataclass(frozen=True)
class Picture:
    """A file, and what its outputs are called below their folder, without a suffix."""

    path: Path
    name: PurePosixPath


def pictures_of(named: Sequence[str], *, out: Path) -> list[Picture]:
    """The images that files, folders and patterns name, sorted by name.

    Of folders, all images at any depth, but hidden ones, predictions, and what lies in ``out``.

    Raises:
        UserError: Something names no image.
    """
    found: dict[Path, Path] = {}  # file -> its place below what names it
    for each in named:
        path = Path(each).expanduser()
        if path.is_dir():
            places = {file: file.relative_to(path) for file in sorted(path.rglob("*"))}
        elif path.is_file():
            found.setdefault(path, Path(path.name))
            continue
        else:
            files = sorted(Path(file) for file in glob.glob(str(path), recursive=True))  # noqa: PTH207 - of any folder
            base = _folder_above(files)
            places = {file: file.relative_to(base) for file in files}
        images = {file: place for file, place in places.items() if _is_meant(file, place, out)}
        if not images:
            raise UserError(
                f"{each}: no images there; they end in {', '.join(IMAGE_SUFFIXES)}"
                if places or path.is_dir()
                else f"{each}: there is no such file or folder, and no file like it"
            )
        for file, place in images.items():
            found.setdefault(file, place)
    return _named(found)


def _is_meant(file: Path, place: Path, out: Path) -> bool:
    hidden = any(part.startswith(".") for part in place.parts)
    if file.suffix.lower() not in IMAGE_SUFFIXES or hidden or not file.is_file():
        return False
    below = file.parents[: len(place.parts) - 1]
    return not file.resolve().is_relative_to(out.resolve()) and not any(
        (folder / NOTE).is_file() for folder in below
    )


def _folder_above(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files])) if files else Path()


def _named(found: dict[Path, Path]) -> list[Picture]:
    """Names without the suffix, but where two images would have the same outputs."""
    stems = Counter(place.with_suffix("").as_posix().casefold() for place in found.values())
    pictures: dict[str, Picture] = {}
    for file, place in found.items():
        stem = place.with_suffix("")
        name = place if stems[stem.as_posix().casefold()] > 1 else stem
        other = pictures.setdefault(name.as_posix().casefold(), Picture(file, PurePosixPath(name.as_posix())))
        if other.path != file:
            raise UserError(
                f"{other.path} and {file} would have the same output; give one folder above both, or predict "
                "them into two folders"
            )
    return sorted(pictures.values(), key=lambda picture: picture.name)


def read_ahead(pictures: Sequence[Picture], *, threads: int) -> Iterator[tuple[Picture, Pixels | UserError]]:
    """Every picture with its pixels, in order, or with what is wrong with it."""
    with decoder_heard(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Picture, Future[Pixels | UserError]]] = deque()
        for picture in pictures:
            waiting.append((picture, pool.submit(_read, picture.path)))
            if len(waiting) > 2 * threads:
                first, pixels = waiting.popleft()
                yield first, pixels.result()
        while waiting:
            first, pixels = waiting.popleft()
            yield first, pixels.result()


def _read(path: Path) -> Pixels | UserError:
    try:
        return np.array(checked_image(path))  # torch wants to be allowed to write
    except UserError as error:
        return error
