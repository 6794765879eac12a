"""What is written for an image: each file whole or not at all, so that one that is there is finished."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from icsd.arrays import write_arrays
from icsd.core.labels import Pixels
from icsd.deployment.card import Card
from icsd.deployment.predicting import Prediction
from icsd.errors import UserError
from icsd.files import write_bytes
from icsd.records import Digest, Record, read_record, write_record

NOTE = "predictions.json"
MASKS, OVERLAYS, PROBABILITIES = "masks", "overlays", "probabilities"
_STRENGTH = 0.5
"""Of the classes' colours in an overlay."""


class Note(Record):
    """What made the predictions in a folder: those of another model do not mix with them."""

    weights_sha256: Digest
    precision: str
    classes: tuple[str, ...]
    tile: int | None = None
    overlap: float | None = None
    """Both None for whole images."""


@dataclass(frozen=True)
class Outputs:
    """A folder of predictions.

    Attributes:
        folder: The folder.
        card: Of the network.
        overlay: Whether the classes' colours are shown on the image, too.
        probabilities: Whether every class's probability is kept.
    """

    folder: Path
    card: Card
    overlay: bool
    probabilities: bool

    def begin(self, note: Note, *, force: bool) -> None:
        """Note what makes the predictions.

        Raises:
            UserError: The folder has those of something else, and ``force`` is not given.
        """
        kinds = [self.folder / kind for kind in (MASKS, OVERLAYS, PROBABILITIES)]
        taken = [kind for kind in kinds if kind.is_dir() and any(kind.iterdir())]
        if not (self.folder / NOTE).exists() and taken:
            raise UserError(
                f"{taken[0]}: contains files that are not predictions ({NOTE} is missing); choose "
                "another folder for --out"
            )
        former = _former(self.folder / NOTE, force=force)
        if former == note:
            return
        if taken and not force:
            raise UserError(
                f"{self.folder}: contains predictions of another model or with other tiles ({NOTE}); "
                "choose another folder, or use --force to replace all of them"
            )
        for kind in taken:  # or what is left of them would pass for this model's
            shutil.rmtree(kind)
        write_record(self.folder / NOTE, note)

    def files(self, name: PurePosixPath) -> list[Path]:
        """All files of an image."""
        kinds = [(MASKS, ".png")]
        kinds += [(OVERLAYS, ".jpg")] if self.overlay else []
        kinds += [(PROBABILITIES, ".npz")] if self.probabilities else []
        return [self.folder / kind / name.parent / f"{name.name}{suffix}" for kind, suffix in kinds]

    def are_there(self, name: PurePosixPath) -> bool:
        """Whether an image is finished."""
        return all(file.is_file() for file in self.files(name))

    def write(self, name: PurePosixPath, image: Pixels, prediction: Prediction) -> None:
        """Write the files of one image."""
        mask, *others = self.files(name)
        if self.overlay:
            write_bytes(others.pop(0), _jpeg(overlay_of(image, prediction.classes, self.card)))
        if prediction.probabilities is not None:
            arrays = {"probabilities": prediction.probabilities, "classes": np.array(self.card.classes)}
            write_arrays(others.pop(0), arrays)
        write_bytes(mask, mask_file(prediction.classes, self.card))


def _former(path: Path, *, force: bool) -> Note | None:
    try:
        return read_record(path, Note, advice="give another folder, or --force to replace what is there")
    except FileNotFoundError:
        return None
    except UserError:
        if force:
            return None
        raise


def mask_file(classes: Pixels, card: Card) -> bytes:
    """A PNG whose numbers are class ids, and which viewers show in the classes' colours."""
    image = Image.fromarray(classes)
    image.putpalette([value for colour in card.palette for value in colour])
    content = io.BytesIO()
    image.save(content, "PNG")
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
