import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from icsd.datasets.reading.images import read_image
from icsd.errors import UserError

RANDOM = np.random.default_rng(0)
SMALL = Image.fromarray(RANDOM.integers(0, 256, (24, 32, 3), dtype=np.uint8))
PHOTO = SMALL.resize((256, 192), Image.Resampling.BICUBIC)
PLAIN = Image.new("RGB", (256, 192), (10, 200, 30))
FORMATS: dict[str, dict[str, Any]] = {
    "deflate": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "jpeg": {"format": "TIFF", "compression": "jpeg"},
    "webp": {"format": "WEBP", "quality": 95},
    "webp_lossless": {"format": "WEBP", "lossless": True},
}


def encoded(image, name):
    stream = io.BytesIO()
    image.save(stream, **FORMATS[name])
    return stream.getvalue()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("image", [PHOTO, PLAIN])
def test_good_files_are_read(tmp_path, name, image):
    (tmp_path / "m.tif").write_bytes(encoded(image, name))
    assert np.abs(read_image(tmp_path / "m.tif").astype(int) - np.asarray(image)).mean() < 6


@pytest.mark.parametrize(
    ("name", "hole"),
    [
        *((name, bytes(4096)) for name in FORMATS),
        # Lossless WebP finds its way back after noise, and has no checksum.
        *((name, RANDOM.bytes(512)) for name in FORMATS if name != "webp_lossless"),
    ],
)
def test_a_hole_in_compressed_data_is_noticed(tmp_path, name, hole):
    content = encoded(PHOTO, name)
    begin = len(content) // 3
    assert len(content) > begin + len(hole) + 1000
    (tmp_path / "m.tif").write_bytes(content[:begin] + hole + content[begin + len(hole) :])
    with pytest.raises(UserError, match=r"cannot read image m\.tif"):
        read_image(tmp_path / "m.tif")


@pytest.mark.parametrize("name", ["deflate", "webp", "webp_lossless"])
def test_a_copy_that_was_never_finished_is_noticed(tmp_path, name):
    content = encoded(PHOTO, name)
    half = len(content) // 2
    (tmp_path / "m.tif").write_bytes(content[:half] + bytes(len(content) - half))
    with pytest.raises(UserError, match=r"cannot read image m\.tif"):
        read_image(tmp_path / "m.tif")
