from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Saves a picture in the test's folder, as PNG unless the name or ``format`` says otherwise."""

    def save(image: Image.Image, name: str = "m.png", **options: Any) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save
