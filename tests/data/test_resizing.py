import numpy as np
import pytest
import torch
from torch.nn import functional as F

from icsd.data.resizing import Window, resized_image, resized_label, scaled_size

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (90, 130, 3), dtype=np.uint8)
LABEL = RNG.integers(0, 256, (90, 130), dtype=np.uint8)
FACTORS = [0.31, 0.5, 0.77, 1.0, 1.3, 1.999]


def windows(size):
    """The whole image, and windows of 20 x 25 that touch each corner, an edge or none."""
    height, width = min(20, size[0]), min(25, size[1])
    yield Window(0, 0, *size)
    for row in (0, size[0] - height, (size[0] - height) // 3):
        for column in (0, size[1] - width, (size[1] - width) // 2):
            yield Window(row, column, height, width)


def cut(whole, window):
    return whole[..., window.row : window.row + window.height, window.column : window.column + window.width]


@pytest.mark.parametrize("factor", FACTORS)
def test_a_window_of_the_image_is_cut_from_the_whole_up_to_rounding(factor):
    size = scaled_size(IMAGE.shape[:2], factor)
    pixels = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].contiguous()
    whole = F.interpolate(pixels, list(size), mode="bilinear", antialias=True)[0]
    for window in windows(size):
        found = resized_image(IMAGE, size, window)
        difference = (found.int() - cut(whole, window).int()).abs()
        assert difference.max() <= 2  # each of two passes rounds to whole numbers
        assert difference.float().mean() < 0.2
        if window == Window(0, 0, *size):
            assert torch.equal(found, whole)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_window_of_the_label_is_cut_from_the_whole(factor):
    size = scaled_size(LABEL.shape, factor)
    whole = F.interpolate(torch.from_numpy(LABEL)[None, None], list(size), mode="nearest-exact")[0, 0]
    for window in windows(size):
        expected = cut(whole, window).numpy()
        np.testing.assert_array_equal(resized_label(LABEL, size, window, mirrored=False), expected)
        np.testing.assert_array_equal(resized_label(LABEL, size, window, mirrored=True), expected[:, ::-1])


def test_every_size_samples_labels_where_torch_does():
    line = np.arange(255, dtype=np.uint8)[None]
    for width in range(1, 700):
        expected = F.interpolate(torch.from_numpy(line)[None, None], [1, width], mode="nearest-exact")
        found = resized_label(line, (1, width), Window(0, 0, 1, width), mirrored=False)
        np.testing.assert_array_equal(found, expected[0, 0].numpy())


def test_halves_go_up_and_nothing_vanishes():
    assert scaled_size((5, 7), 0.5) == (3, 4)
    assert scaled_size((5, 1), 0.01) == (1, 1)
