from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Saves a picture in the test's folder, as PNG unless the name or ``format`` says otherwise."""

    def save(image: Image.Image, name: str = "m.png", **options: object) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save
