"""Sizes of images as a network sees them: typed, or those of its dataset."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from icsd.data.manifest import read_manifest
from icsd.data.prepared import REPORT
from icsd.data.resizing import scaled_size
from icsd.deployment.calls import Size
from icsd.deployment.card import Card
from icsd.errors import UserError
from icsd.params.reading import preset_name
from icsd.runs import data_folder
from icsd.yaml_files import read_yaml

_TYPED = re.compile(r"([1-9]\d{0,4})[x×X]([1-9]\d{0,4})")


def typed_sizes(texts: Sequence[str]) -> list[Size]:
    """The sizes of ``--size``, without duplicates.

    Raises:
        UserError: A text is not a size.
    """
    sizes: dict[Size, None] = {}
    for text in texts:
        match = _TYPED.fullmatch(text)
        if match is None:
            raise UserError(
                f"--size {text}: is no size; give height and width in pixels, up to 99999, as 360x480"
            )
        sizes[int(match[1]), int(match[2])] = None
    return list(sizes)


def usual_sizes(root: Path, card: Card) -> list[Size]:
    """The training crop of the dataset's preset and, if data are prepared, the most common reported image.

    Raises:
        UserError: There is no such preset, or it has no crop.
    """
    preset = root / preset_name(card.dataset)
    if not preset.is_file():
        raise UserError(
            f"there is no preset {preset_name(card.dataset)} that names a size of images; give --size HxW"
        )
    images = read_yaml(preset).get("images")
    crop = images.get("crop") if isinstance(images, dict) else None
    match crop:
        case [int(height), int(width)] if height > 0 and width > 0:
            sizes: dict[Size, None] = {(height, width): None}
        case _:
            raise UserError(
                f"{preset_name(card.dataset)}: images.crop: is no height and width; give --size HxW"
            )
    folder = root / data_folder(card.dataset)
    if folder.is_dir():
        splits = read_manifest(folder).splits
        if REPORT in splits:
            seen = Counter(zip(splits[REPORT].heights, splits[REPORT].widths, strict=True))
            [(usual, _)] = seen.most_common(1)
            sizes[scaled_size(usual, card.input_scale)] = None
    return list(sizes)
