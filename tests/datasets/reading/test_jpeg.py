import io
import random

import numpy as np
import pytest
from PIL import Image

from icsd.datasets.reading.jpeg import damage

HEADERS = 700  # bytes; all headers of these files are shorter


def scene(seed: int, *, height: int = 240, width: int = 320) -> Image.Image:
    """Soft shapes with some noise: compresses like a photograph."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(soft + rng.integers(-9, 10, soft.shape), 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


OPTIONS = {
    "plain": {"quality": 90},
    "own tables": {"quality": 75, "optimize": True},
    "full colour": {"quality": 95, "subsampling": 0},
    "progressive": {"quality": 85, "progressive": True},
    "restart markers": {"quality": 85, "restart_marker_rows": 1},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_files_have_no_damage(options, mode):
    for seed in range(5):
        content = jpeg(scene(seed).convert(mode), **options)
        assert damage(content) is None
        assert damage(content + b"a preview, or notes of the camera") is None


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_plain_and_tiny_images_have_no_damage(options, grey):
    for size in ((1, 1), (3, 17), (200, 64), (600, 600)):
        assert damage(jpeg(Image.new("RGB", size, (grey, grey, grey)), **options)) is None
    half = np.asarray(scene(0)).copy()
    half[120:] = grey
    assert damage(jpeg(Image.fromarray(half), **options)) is None


def overwritten(content: bytes, rng: random.Random, replacement: bytes) -> bytes:
    begin = rng.randrange(HEADERS, len(content) - len(replacement))
    return content[:begin] + replacement + content[begin + len(replacement) :]


def zeros(content: bytes, rng: random.Random) -> bytes:
    return overwritten(content, rng, bytes(512))


def ones(content: bytes, rng: random.Random) -> bytes:
    return overwritten(content, rng, b"\xff" * 512)


def noise(content: bytes, rng: random.Random) -> bytes:
    return overwritten(content, rng, rng.randbytes(2048))


def without_its_second_half(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) // 2, len(content) - 64)] + b"\xff\xd9"


def zeros_to_the_end(content: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(content) // 2, len(content) - 64)
    return content[:begin] + bytes(len(content) - begin)


@pytest.mark.parametrize("harm", [zeros, ones, noise, without_its_second_half, zeros_to_the_end])
@pytest.mark.parametrize("options", ["plain", "own tables", "full colour", "restart markers"])
def test_damage_is_seen_wherever_it_is(harm, options):
    rng = random.Random(0)
    for seed in range(8):
        content = jpeg(scene(seed), **OPTIONS[options])
        assert damage(harm(content, rng)), (harm, seed)


def test_a_lost_piece_is_seen():
    content = jpeg(scene(0), quality=90)
    assert damage(content[:5000] + content[5512:])


def test_data_of_another_image_in_between_is_seen():
    content, other = jpeg(scene(0), quality=90), jpeg(scene(1), quality=90)
    assert damage(content[:5000] + other[9000:13096] + content[9096:])
