"""Converts values to what MLflow accepts: flat names of allowed characters, bounded texts, images."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 250, 6000, 8000, 36


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters under dotted names: ``{"alw": {"power": 2}}`` -> ``{"alw.power": "2"}``."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[safe_key(name)] = shortened(_text(value), PARAM_LENGTH)
    return flat


def safe_key(name: str) -> str:
    """The name, cut to MLflow's limit, with an underscore for each character that MLflow refuses."""
    return re.sub(r"[^\w\-./ :]", "_", name)[:KEY_LENGTH]


def shortened(text: str, length: int) -> str:
    """The text, cut with an ellipsis if it is too long."""
    return text if len(text) <= length else text[: length - 1] + "…"


def to_image(picture: "Figure | npt.NDArray[np.uint8]") -> "Image":
    """A figure or uint8 pixels [H, W], [H, W, 3] or [H, W, 4] as an image."""
    import PIL.Image

    if isinstance(picture, np.ndarray):
        return PIL.Image.fromarray(picture)
    from io import BytesIO

    buffer = BytesIO()
    picture.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    return PIL.Image.open(buffer).convert("RGB")


def thumbnail(image: "Image", side: int = 1024) -> "Image":
    """A copy whose longer side is at most ``side``, which MLflow shows while a user moves through the steps.

    It is not smaller because MLflow shows it unscaled, in the middle of a square as wide as the window.
    """
    small = image.copy()
    small.thumbnail((side, side))
    return small


def _text(value: object) -> str:
    """The value as YAML writes it: ``true``, ``null``, ``[0, 1]``."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
