"""The folder of docs/own_data.md: photographs of many sizes, RGB masks of three classes."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((768, 1024), (240, 320), (480, 640), (600, 800))  # height, width
COLOURS = np.array([[0, 0, 0], [200, 30, 30], [30, 200, 30]], np.uint8)


def write_photos(folder: Path, *, number: int = 12) -> Path:
    """Stripes of the three classes at random places, each with its own brightness."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(number):
        height, width = SIZES[index % len(SIZES)]
        stripes = (np.arange(width) * 3 // width + rng.integers(3)) % 3
        label = np.tile(stripes, (height, 1))
        coarse = rng.normal(0, 20, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
        image = np.clip(80 + 47 * label[..., None] + coarse, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"images/{index}.jpg")
        Image.fromarray(COLOURS[label]).save(folder / f"masks/{index}.png")
    return folder
