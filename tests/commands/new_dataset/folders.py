"""Small folders of images and masks in usual layouts."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = np.array([[0, 0, 0], [200, 30, 30], [30, 200, 30]], np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)


def scene(number: int, *, height: int = 24, width: int = 32, values=(0, 1, 2)):
    """A photograph and its mask: vertical stripes of the values."""
    rng = np.random.default_rng(number)
    mask = np.asarray(values)[np.arange(width) * len(values) // width]
    return rng.integers(0, 256, (height, width, 3)), np.tile(mask, (height, 1))


def write(root: Path, pairs, values=(0, 1, 2), *, colours=None, binary=False) -> Path:
    """Pairs of paths (image, mask) below a root; a mask of None is not written."""
    for number, (image, mask) in enumerate(pairs):
        pixels, label = scene(number, values=values)
        save(root / image, pixels)
        if mask:
            save(root / mask, label if colours is None else colours[label])
    return root


def in_folders(images: str, masks: str, *, splits=("train", "val", "test"), number: int = 2):
    """Pairs by templates with {split} and {n}."""
    return [
        (images.format(split=split, n=f"{split}{n}"), masks.format(split=split, n=f"{split}{n}"))
        for split in splits
        for n in range(number)
    ]


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
