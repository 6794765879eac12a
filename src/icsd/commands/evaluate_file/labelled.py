"""The images on which a file is measured: the reported split, or a user's folders of images and masks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icsd.commands.predict.images import Picture, pictures_of
from icsd.core.labels import IGNORE, Pixels
from icsd.data.prepared import REPORT, PreparedData
from icsd.datasets.file_kinds import MASK_SUFFIXES
from icsd.datasets.reading.masks import read_ids, read_numbers_by_colour
from icsd.datasets.samples import checked_image, decoder_heard
from icsd.deployment.card import Card
from icsd.errors import UserError, some
from icsd.runs import data_folder


@dataclass(frozen=True)
class Labelled:
    """Images with their labels.

    Attributes:
        name: Description of the images.
        ids: Ids of the images.
        pairs: Image [H, W, 3] and label [H, W] of each, in the same order; read lazily.
    """

    name: str
    ids: tuple[str, ...]
    pairs: Iterator[tuple[Pixels, Pixels]]


def reported(root: Path, card: Card) -> Labelled:
    """The reported split of the network's dataset.

    Raises:
        UserError: It is not prepared here, or has other classes.
    """
    folder = root / data_folder(card.dataset)
    if not folder.is_dir():
        raise UserError(
            f"{data_folder(card.dataset)}/ does not exist: prepare it with `dvc repro preprocess` and "
            f"dataset: {card.dataset} in params.yaml, or evaluate on a folder: --images DIR --masks DIR"
        )
    split = PreparedData(folder).split(REPORT)
    if split.classes != card.classes:
        raise UserError(
            f"{data_folder(card.dataset)}/ has the classes {', '.join(split.classes)}, and the network has "
            f"{', '.join(card.classes)}"
        )
    return Labelled(
        f"the reported split of {card.dataset}",
        split.ids,
        (split[index] for index in range(len(split))),
    )


def in_folders(images: str, masks: Path, card: Card, *, ignored: Sequence[int]) -> Labelled:
    """Images, and masks with the same names in another folder.

    Masks hold class ids, with 255 and ``ignored`` for pixels that do not count, or the classes' colours.

    Raises:
        UserError: Images have no mask; while reading, also a file that cannot be read.
    """
    if not masks.is_dir():
        raise UserError(f"--masks {masks}: there is no such folder")
    if Path(images).expanduser().resolve() == masks.resolve():
        raise UserError(
            f"--masks {masks}: is the folder of the images, too; name these by a pattern: "
            f"--images '{images}/*.jpg'"
        )
    pictures = pictures_of([images], without=[masks])
    found: dict[str, Path] = {}
    for file in sorted(masks.rglob("*")):
        if file.suffix.lower() in MASK_SUFFIXES:
            other = found.setdefault(file.relative_to(masks).with_suffix("").as_posix(), file)
            if other != file:
                raise UserError(f"--masks: {other} and {file} are of the same image; leave one of them there")
    pairs = {each.path: mask for each in pictures if (mask := _mask_of(each, found))}
    missing = [str(each.path) for each in pictures if each.path not in pairs]
    if missing:
        raise UserError(f"--masks {masks}: has no mask for {some(missing, len(missing), most=3)}")
    return Labelled(
        f"{len(pictures)} images of {images}",
        tuple(each.name.as_posix() for each in pictures),
        _read(list(pairs.items()), card, ignored),
    )


def _mask_of(picture: Picture, masks: Mapping[str, Path]) -> Path | None:
    """The mask named like the image's output of ``predict``, or else like the image; None without either."""
    name = picture.name.as_posix()
    return masks.get(name, masks.get(name.removesuffix(picture.path.suffix)))


def _read(
    files: Sequence[tuple[Path, Path]], card: Card, ignored: Sequence[int]
) -> Iterator[tuple[Pixels, Pixels]]:
    with decoder_heard():
        for image_file, mask_file in files:
            with _named(image_file):
                image = np.array(checked_image(image_file))
            with _named(mask_file):
                label = _label(mask_file, card, ignored)
            if image.shape[:2] != label.shape:
                raise UserError(
                    f"{mask_file}: is {label.shape[0]} × {label.shape[1]}, and its image is "
                    f"{image.shape[0]} × {image.shape[1]}"
                )
            yield image, label


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """What is wrong with a file, with its folder: there may be others of its name."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _label(file: Path, card: Card, ignored: Sequence[int]) -> Pixels:
    try:
        numbers = np.array(read_ids(file))
    except UserError as error:
        if "colour image" not in str(error):
            raise
        return read_numbers_by_colour(file, {colour: id_ for id_, colour in enumerate(card.palette)})
    numbers[np.isin(numbers, list(ignored))] = IGNORE
    strange = np.setdiff1d(numbers, [*range(len(card.classes)), IGNORE])
    if strange.size:
        raise UserError(
            f"it contains {', '.join(map(str, strange[:5].tolist()))}, and the highest class id is "
            f"{len(card.classes) - 1}; use --ignore {strange[0]} if these pixels are to be ignored"
        )
    return numbers
