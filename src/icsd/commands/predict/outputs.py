"""Writes the files of an image, each of them atomically, so that an existing file is complete."""

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from icsd.arrays import write_arrays
from icsd.core.labels import Pixels
from icsd.deployment.card import Card
from icsd.deployment.predicting import Prediction
from icsd.errors import UserError
from icsd.files import sha256_of, write_bytes
from icsd.records import Digest, Record, read_record, write_record

NOTE = "predictions.json"
MASKS, OVERLAYS, PROBABILITIES = KINDS = "masks", "overlays", "probabilities"
_SUFFIXES = {MASKS: ".png", OVERLAYS: ".jpg", PROBABILITIES: ".npz"}
IMAGE = "image_sha256"
"""The key under which a mask holds the digest of its image's file."""
_STRENGTH = 0.5
"""Opacity of the classes' colours in an overlay."""


class Note(Record):
    """What made the predictions in a folder, so that predictions of different models are not mixed."""

    weights_sha256: Digest
    precision: str
    classes: tuple[str, ...]
    input_scale: float | None = None
    file_sha256: Digest | None = None
    """Digest of an exported file: two of the same weights may round differently. None for a network."""
    tile: int | None = None
    overlap: float | None = None
    """``tile`` and ``overlap`` are None for whole images."""


@dataclass(frozen=True)
class Outputs:
    """A folder of predictions.

    Attributes:
        folder: The folder.
        card: The card of the network.
        overlay: Whether to write an overlay of the classes' colours on the image, too.
        probabilities: Whether to write every class's probability.
    """

    folder: Path
    card: Card
    overlay: bool
    probabilities: bool

    def begin(self, note: Note, *, force: bool) -> None:
        """Note what makes the predictions.

        Raises:
            UserError: The folder has other predictions, and ``force`` is not given; or it has something that
                this command did not write, which ``force`` does not replace, either.
        """
        kinds = folders_of(self.folder)
        for place in (self.folder, *kinds):
            if os.path.lexists(place) and not place.is_dir():
                raise UserError(f"{place}: is no folder; give another one in --out")
        taken = [kind for kind in kinds if kind.is_dir() and any(kind.iterdir())]
        if not (self.folder / NOTE).exists() and taken:
            raise UserError(
                f"{taken[0]}: contains files that are not predictions ({NOTE} is missing); choose "
                "another folder for --out"
            )
        former = _former(self.folder / NOTE)
        if former == note:
            return
        if taken and not force:
            raise UserError(
                f"{self.folder}: contains predictions of another model or with other tiles ({NOTE}); "
                "choose another folder, or use --force to replace all of them"
            )
        for kind in taken:  # otherwise remaining ones would pass for this model's
            for each in kind.iterdir():  # the folder may be a link to where there is room
                shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        write_record(self.folder / NOTE, note)

    def files(self, name: PurePosixPath) -> list[Path]:
        """All files of an image."""
        wanted = {MASKS: True, OVERLAYS: self.overlay, PROBABILITIES: self.probabilities}
        return [_file(self.folder / kind, name, _SUFFIXES[kind]) for kind in wanted if wanted[kind]]

    def are_there(self, name: PurePosixPath, image: Path) -> bool:
        """Whether all files of an image exist and are not those of another image with its name."""
        files = self.files(name)
        try:
            there = all(file.is_file() for file in files)
            return there and image_of_mask(files[0]) in (None, sha256_of(image))
        except OSError:
            return False  # the code that reads or writes the file reports why

    def write(self, name: PurePosixPath, image: Pixels, sha256: str, prediction: Prediction) -> bool:
        """Write the files of one image.

        Args:
            name: The name of the files.
            image: The image, [H, W, 3].
            sha256: Digest of the image's file.
            prediction: The network's prediction.

        Returns:
            Whether there were files of another image with this name, all of which are replaced or removed.
        """
        mask, *others = self.files(name)
        replaces = mask.is_file() and image_of_mask(mask) not in (None, sha256)
        if replaces:
            for kind, suffix in _SUFFIXES.items():
                if kind != MASKS:
                    _file(self.folder / kind, name, suffix).unlink(missing_ok=True)
        if self.overlay:
            write_bytes(others.pop(0), _jpeg(overlay_of(image, prediction.classes, self.card)))
        if prediction.probabilities is not None:
            arrays = {"probabilities": prediction.probabilities, "classes": np.array(self.card.classes)}
            write_arrays(others.pop(0), arrays)
        write_bytes(mask, mask_file(prediction.classes, self.card, sha256))  # last: with it, all files exist
        return replaces


def folders_of(out: Path) -> list[Path]:
    """The folders of all kinds of outputs."""
    return [out / kind for kind in KINDS]


def _former(path: Path) -> Note | None:
    """The existing note; a file of this name with other content may belong to somebody else."""
    try:
        return read_record(path, Note, advice="give another folder in --out, or remove it if it is of no use")
    except FileNotFoundError:
        return None


def _file(folder: Path, name: PurePosixPath, suffix: str) -> Path:
    return folder / name.parent / f"{name.name}{suffix}"


def image_of_mask(mask: Path) -> str | None:
    """The digest of the image that a mask was predicted for; None if the mask has none."""
    try:
        with Image.open(mask, formats=["PNG"]) as file:
            known = file.info.get(IMAGE)
    except Exception:  # a damaged file can raise any exception in its decoder
        return None
    return known if isinstance(known, str) else None


def mask_file(classes: Pixels, card: Card, sha256: str) -> bytes:
    """A PNG whose values are class ids, and which viewers show in the classes' colours.

    Args:
        classes: Class ids, [H, W].
        card: The card of the network.
        sha256: Digest of the image's file.
    """
    image = Image.fromarray(classes)
    image.putpalette([value for colour in card.palette for value in colour])
    notes = PngInfo()
    notes.add_text(IMAGE, sha256)
    content = io.BytesIO()
    image.save(content, "PNG", pnginfo=notes)
    return content.getvalue()


def overlay_of(image: Pixels, classes: Pixels, card: Card) -> Pixels:
    """The image [H, W, 3] under the colours of its classes."""
    colours = np.asarray(card.palette, np.float32)[classes]
    mixed: Pixels = (image * (1 - _STRENGTH) + colours * _STRENGTH + 0.5).astype(np.uint8)
    return mixed


def _jpeg(image: Pixels) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=90)
    return content.getvalue()
