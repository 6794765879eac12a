"""The command's IMAGES: their files, the names of their outputs, and their pixels."""

import glob
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from icsd.commands.predict.outputs import KINDS, NOTE
from icsd.core.labels import Pixels
from icsd.datasets.file_kinds import IMAGE_SUFFIXES
from icsd.datasets.samples import checked_image, decoder_heard
from icsd.errors import UserError
from icsd.files import files_below, sha256_of


@dataclass(frozen=True)
class Picture:
    """A file, and the name of its outputs below their folder, without a suffix."""

    path: Path
    name: PurePosixPath


@dataclass(frozen=True)
class Decoded:
    """A picture's pixels [H, W, 3], and the digest of the file that they were read from."""

    pixels: Pixels
    sha256: str


def pictures_of(named: Sequence[str], *, without: Sequence[Path] = ()) -> list[Picture]:
    """The images that files, folders and patterns name, sorted by name.

    A folder stands for all images at any depth, except hidden ones, predictions, and files in folders of
    ``without`` below it. Links to folders are followed.

    Raises:
        UserError: Something names no image.
    """
    found: dict[Path, Path] = {}  # file -> its path below the folder that names it
    is_left_out = _left_out(without)
    for each in named:
        if not each.strip():
            raise UserError("an empty name: it names no image; is a variable of the shell not set?")
        path = Path(each).expanduser()
        if path.is_dir():
            places = {file: file.relative_to(path) for file in sorted(_shown_files(path))}
        elif path.is_file():
            found.setdefault(path, Path(path.name))
            continue
        else:
            files = sorted(Path(file) for file in glob.glob(str(path), recursive=True))  # noqa: PTH207 - of any folder
            base = _folder_above(files)
            places = {file: file.relative_to(base) for file in files}
        images = {file: place for file, place in places.items() if _is_meant(file, place, is_left_out)}
        if not images:
            raise UserError(
                f"{each}: no images there; they end in {', '.join(IMAGE_SUFFIXES)}"
                if places or path.is_dir()
                else f"{each}: there is no such file or folder, and no file like it"
            )
        for file, place in images.items():
            found.setdefault(file, place)
    return _named(found)


def _shown_files(folder: Path) -> Iterator[Path]:
    return files_below(folder, enter=lambda name: not name.startswith("."), on_error=_refuse)


def _refuse(error: OSError) -> None:
    raise UserError(
        f"{error.filename}: cannot be listed ({error.strerror}), and its images would be missing; change its "
        "owner or its mode, or name the images"
    )


def _is_meant(file: Path, place: Path, is_left_out: Callable[[Path], bool]) -> bool:
    hidden = any(part.startswith(".") for part in place.parts)
    if file.suffix.lower() not in IMAGE_SUFFIXES or hidden or not file.is_file():
        return False
    return not any(map(is_left_out, file.parents[: len(place.parts) - 1]))


def _left_out(without: Sequence[Path]) -> Callable[[Path], bool]:
    """Whether a folder is one of these, or holds predictions."""
    folders = {folder.resolve() for folder in without}

    @cache
    def is_left_out(folder: Path) -> bool:
        return folder.resolve() in folders or (folder.name in KINDS and (folder.parent / NOTE).is_file())

    return is_left_out


def _folder_above(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files])) if files else Path()


def _named(found: dict[Path, Path]) -> list[Picture]:
    """Name the images without suffix, except if two images would have the same outputs."""
    names = {file: place.with_suffix("") for file, place in found.items()}
    for _ in range(2):  # a.jpg and a.png keep theirs, and then a.jpg.png has to
        shared = Counter(name.as_posix().casefold() for name in names.values())
        names = {
            file: found[file] if shared[name.as_posix().casefold()] > 1 else name
            for file, name in names.items()
        }
    pictures: dict[str, Picture] = {}
    for file, name in names.items():
        other = pictures.setdefault(name.as_posix().casefold(), Picture(file, PurePosixPath(name.as_posix())))
        if other.path != file:
            raise UserError(
                f"{other.path} and {file} would have the same output; give one folder above both, or predict "
                "them into two folders"
            )
    return sorted(pictures.values(), key=lambda picture: picture.name)


def read_ahead(pictures: Sequence[Picture], *, threads: int) -> Iterator[tuple[Picture, Decoded | UserError]]:
    """Every picture in order, with its pixels or the error that reading it gave."""
    with decoder_heard(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Picture, Future[Decoded | UserError]]] = deque()
        for picture in pictures:
            waiting.append((picture, pool.submit(_read, picture.path)))
            if len(waiting) > 2 * threads:
                first, decoded = waiting.popleft()
                yield first, decoded.result()
        while waiting:
            first, decoded = waiting.popleft()
            yield first, decoded.result()


def _read(path: Path) -> Decoded | UserError:
    try:
        digest = sha256_of(path)  # before the pixels, so that it does not match a file that changes meanwhile
        return Decoded(np.array(checked_image(path)), digest)  # torch wants writable arrays
    except UserError as error:
        return error
    except OSError as error:
        return UserError(f"cannot read image {path.name}: {error.strerror}")
