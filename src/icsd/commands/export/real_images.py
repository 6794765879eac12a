"""Real images for an export: to compare the file with its network, and to calibrate int8."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from icsd.commands.predict.images import pictures_of, read_ahead
from icsd.core.labels import Pixels
from icsd.data.manifest import read_manifest
from icsd.data.prepared import REPORT, TRAIN, PreparedData
from icsd.deployment.writing import spread
from icsd.errors import UserError
from icsd.runs import data_folder


def real_images(root: Path, dataset: str, named: Sequence[str], count: int) -> list[Pixels]:
    """At most ``count`` images, evenly spread over the named ones, or over the training split.

    Raises:
        UserError: There are none, or one of them is in the reported split.
    """
    folder = root / data_folder(dataset)
    if named:
        pictures = spread(pictures_of(named), count)
        images = []
        for picture, decoded in read_ahead(pictures, threads=2):
            if isinstance(decoded, UserError):
                raise UserError(f"--images: {picture.path}: {decoded}") from decoded
            images.append(decoded.pixels)
        _check_not_reported(folder, [str(picture.path) for picture in pictures], images)
        return images
    if not folder.is_dir():
        raise UserError(
            f"{data_folder(dataset)}/ is not there, and an exported file is checked on real images; name "
            "some that the network may have learnt from: --images PATH"
        )
    split = PreparedData(folder).split(TRAIN)
    return [split[index][0] for index in spread(range(len(split)), count)]


def _check_not_reported(folder: Path, names: Sequence[str], images: Sequence[Pixels]) -> None:
    """Refuse reported images: a file calibrated on them would be measured on what it was fitted to."""
    if not folder.is_dir():
        return
    splits = read_manifest(folder).splits
    reported = set(splits[REPORT].image_sha256) if REPORT in splits else set()
    for name, image in zip(names, images, strict=True):
        if hashlib.sha256(image.tobytes()).hexdigest() in reported:
            raise UserError(
                f"--images: {name} is of the reported split, whose scores would then be of images that the "
                "file was fitted to; give training images"
            )
