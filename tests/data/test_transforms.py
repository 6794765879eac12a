from typing import Any

import numpy as np
import pytest
import torch
from tests.data.plain_views import plain_view

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.data.transforms import augment, prepare

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
LABEL = RNG.choice(np.array([0, 3, 10, 255], dtype=np.uint8), (40, 60))
PLAIN: dict[str, Any] = {"scale": (1.0, 1.0), "flip": 0.0, "blur": 0.0}


def normalised(image: np.ndarray) -> torch.Tensor:
    values = torch.from_numpy(image).permute(2, 0, 1) / 255
    return (values - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]


@pytest.mark.parametrize("seed", range(20))
def test_no_new_label_ids(seed):
    _, label = augment(IMAGE, LABEL, seed=seed, crop=(32, 32), scale=(0.3, 2.5), colour=0.4)
    assert set(label.unique().tolist()) <= {0, 3, 10, 255}


@pytest.mark.parametrize("crop", [(32, 32), (40, 60), (64, 48), (100, 100)])
def test_the_result_always_has_the_crops_size(crop):
    image, label = augment(IMAGE, LABEL, seed=3, crop=crop, colour=0.2)
    assert image.shape == (3, *crop)
    assert label.shape == crop
    assert image.dtype == torch.float32
    assert label.dtype == torch.int64
    assert image.is_contiguous()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    views = [augment(IMAGE, LABEL, seed=seed, crop=(32, 32), colour=0.3)[0] for seed in (1, 1, 2)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_global_generators_are_neither_read_nor_changed():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, _ = augment(IMAGE, LABEL, seed=1, crop=(32, 32), colour=0.3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(augment(IMAGE, LABEL, seed=1, crop=(32, 32), colour=0.3)[0], first)


def test_the_number_of_threads_changes_nothing():
    image = RNG.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    label = np.zeros((300, 400), dtype=np.uint8)
    views = []
    threads = torch.get_num_threads()
    for number in (1, 2):
        torch.set_num_threads(number)
        views.append(
            [augment(image, label, seed=seed, crop=(256, 256), blur=1.0, colour=0.3)[0] for seed in range(3)]
        )
    torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*views, strict=True))


def test_nothing_random_leaves_the_normalised_image():
    image, label = augment(IMAGE, LABEL, seed=0, crop=(40, 60), **PLAIN)
    assert (image - normalised(IMAGE)).abs().max() < 1e-5
    assert torch.equal(label, torch.from_numpy(LABEL).long())


def test_flipping_mirrors_image_and_label_together():
    plain = augment(IMAGE, LABEL, seed=0, crop=(40, 60), **PLAIN)
    flipped = augment(IMAGE, LABEL, seed=0, crop=(40, 60), **PLAIN | {"flip": 1.0})
    assert torch.equal(flipped[0], plain[0].flip(-1))
    assert torch.equal(flipped[1], plain[1].flip(-1))


def test_padding_is_the_mean_colour_and_ignored():
    image, label = augment(IMAGE, LABEL, seed=0, crop=(50, 70), **PLAIN)
    assert (image[:, 40:, :] == 0).all()
    assert (image[:, :, 60:] == 0).all()
    assert (label[40:, :] == 255).all()
    assert (label[:, 60:] == 255).all()
    assert torch.equal(label[:40, :60], torch.from_numpy(LABEL).long())


def test_image_and_label_stay_aligned():
    ramp = np.repeat(np.arange(60, dtype=np.uint8)[None], 40, axis=0)
    image, label = augment(
        np.stack([ramp * 4] * 3, axis=-1), ramp, seed=5, crop=(32, 32), scale=(0.7, 1.6), blur=0.0
    )
    red = (image[0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]) * 255 / 4
    inside = label != 255
    assert (red[inside] - label[inside]).abs().max() < 1.1


def test_crops_reach_every_place():
    marked = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    corners = {int(augment(image, marked, seed=seed, crop=(4, 4), **PLAIN)[1][0, 0]) for seed in range(300)}
    assert corners == {8 * row + column for row in range(5) for column in range(5)}


def test_switching_one_option_off_does_not_change_the_others():
    one = augment(IMAGE, LABEL, seed=9, crop=(32, 32), blur=0.0)[1]
    other = augment(IMAGE, LABEL, seed=9, crop=(32, 32), blur=1.0, colour=0.5)[1]
    assert torch.equal(one, other)


def test_blur_keeps_the_mean_and_smooths():
    plain = augment(IMAGE, LABEL, seed=4, crop=(40, 60), **PLAIN)[0]
    blurred = augment(IMAGE, LABEL, seed=4, crop=(40, 60), **PLAIN | {"blur": 1.0})[0]
    assert blurred.std() < 0.9 * plain.std()
    assert abs(blurred.mean() - plain.mean()) < 0.02


def test_input_scale_shrinks_training_and_evaluation_alike():
    image, _ = augment(IMAGE, LABEL, seed=0, crop=(20, 30), input_scale=0.5, **PLAIN)
    assert torch.equal(image, prepare(IMAGE, input_scale=0.5))


def test_prepare_normalises_the_whole_image():
    assert (prepare(IMAGE) - normalised(IMAGE)).abs().max() < 1e-5


def test_grey_has_no_saturation_to_change_and_contrast_keeps_its_mean():
    grey = np.repeat(RNG.integers(100, 150, (40, 60, 1), dtype=np.uint8), 3, axis=2)
    plain, _ = augment(grey, LABEL, seed=2, crop=(40, 60), **PLAIN, mean=(0, 0, 0), std=(1, 1, 1))
    changed, _ = augment(
        grey, LABEL, seed=2, crop=(40, 60), colour=0.2, **PLAIN, mean=(0, 0, 0), std=(1, 1, 1)
    )
    assert (changed[0] - changed[2]).abs().max() < 1e-4
    assert not torch.allclose(changed, plain, atol=0.01)
    assert 0.8 <= changed.mean() / plain.mean() <= 1.2


@pytest.mark.parametrize("seed", range(5))
def test_colours_stay_within_the_range_of_pixels(seed):
    values, _ = augment(IMAGE, LABEL, seed=seed, crop=(40, 60), colour=0.9, mean=(0, 0, 0), std=(1, 1, 1))
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-6


LARGE = RNG.integers(0, 256, (120, 200, 3), dtype=np.uint8)
LARGE_LABEL = RNG.integers(0, 9, (120, 200), dtype=np.uint8)
BYTES: dict[str, Any] = {"mean": (0, 0, 0), "std": (1 / 255, 1 / 255, 1 / 255)}


@pytest.mark.parametrize("options", [{}, {"colour": 0.3}, {"blur": 0.0}, {"blur": 1.0, "colour": 0.2}])
@pytest.mark.parametrize("crop", [(64, 64), (140, 100), (300, 400)])
def test_views_are_those_computed_the_plain_way(crop, options):
    for seed in range(12):
        how: dict[str, Any] = {"seed": seed, "crop": crop, "scale": (0.5, 2.0), **options}
        values, ids = augment(LARGE, LARGE_LABEL, **how, **BYTES)
        expected, expected_ids = plain_view(LARGE, LARGE_LABEL, **how)
        assert torch.equal(ids, expected_ids)
        assert (values - expected).abs().max() < 3
        assert (values - expected).abs().mean() < 0.2


def test_views_of_small_images_without_blur_are_the_same_bytes():
    """What the default trains on: the numbers in reports/ rest on it."""
    image, label = LARGE[:64, :64].copy(), LARGE_LABEL[:64, :64].copy()
    for seed in range(40):
        how: dict[str, Any] = {
            "seed": seed,
            "crop": (64, 64),
            "scale": (0.9, 1.1),
            "blur": 0.0,
            "colour": 0.2,
        }
        values, ids = augment(image, label, **how, mean=(0, 0, 0), std=(1, 1, 1))
        expected, expected_ids = plain_view(image, label, **how)
        assert torch.equal(values, expected / 255)
        assert torch.equal(ids, expected_ids)
