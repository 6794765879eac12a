import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from icsd.core.labels import IGNORE
from icsd.core.supervision import AUXILIARY, class_weights, dice_loss, lovasz_loss
from icsd.data.frequencies import class_pixels


def batch(seed=0, classes=5, labelled=4):
    """Logits at half the labels' size, and labels with ignored pixels and without the last class."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, labelled, (2, 8, 9), generator=generator)
    labels[torch.rand(2, 8, 9, generator=generator) < 0.2] = IGNORE
    return logits, labels


def labelled_pixels(logits, labels):
    """(probabilities, class) of every pixel that is not ignored, in plain Python."""
    full = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=True).softmax(1)
    return [
        (full[b, :, i, j].tolist(), int(labels[b, i, j]))
        for b in range(labels.shape[0])
        for i in range(labels.shape[1])
        for j in range(labels.shape[2])
        if labels[b, i, j] != IGNORE
    ]


def slow_dice(logits, labels):
    pixels = labelled_pixels(logits, labels)
    losses = []
    for index in {label for _, label in pixels}:
        overlap = sum(p[index] for p, label in pixels if label == index)
        squares = sum(p[index] ** 2 for p, _ in pixels) + sum(label == index for _, label in pixels)
        losses.append(1 - 2 * overlap / squares)
    return sum(losses) / len(losses)


def slow_lovasz(logits, labels):
    """The extension by its definition: an integral of the Jaccard loss over thresholds of the errors."""
    pixels = labelled_pixels(logits, labels)
    losses = []
    for index in {label for _, label in pixels}:
        errors = [1 - p[index] if label == index else p[index] for p, label in pixels]
        truth = [label == index for _, label in pixels]
        value, former = 0.0, 0.0
        for threshold in sorted(errors):
            wrong = [error >= threshold for error in errors]
            missed = sum(w and t for w, t in zip(wrong, truth, strict=True))
            extra = sum(w and not t for w, t in zip(wrong, truth, strict=True))
            jaccard_loss = (missed + extra) / (sum(truth) + extra)
            value += (threshold - former) * jaccard_loss
            former = threshold
        losses.append(value)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("loss", "slow"), [(dice_loss, slow_dice), (lovasz_loss, slow_lovasz)])
def test_a_loss_is_what_a_slow_computation_gives(loss, slow, seed):
    logits, labels = batch(seed)
    assert loss(logits, labels).item() == pytest.approx(slow(logits, labels), rel=1e-9)
    single = loss(logits.float(), labels)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(slow(logits, labels), rel=1e-5)


@pytest.mark.parametrize("loss", AUXILIARY.values(), ids=list(AUXILIARY))
def test_gradients_are_right(loss):
    logits, labels = batch()
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), labels))


@pytest.mark.parametrize("loss", AUXILIARY.values(), ids=list(AUXILIARY))
def test_ignored_pixels_do_not_count(loss):
    logits, labels = batch()
    logits = F.interpolate(logits, labels.shape[-2:]).requires_grad_()
    value = loss(logits, labels)
    value.backward()
    ignored = labels == IGNORE
    assert (logits.grad.movedim(1, -1)[ignored] == 0).all()
    changed = torch.where(ignored[:, None], torch.randn_like(logits), logits)
    assert loss(changed, labels) == value


@pytest.mark.parametrize("loss", AUXILIARY.values(), ids=list(AUXILIARY))
def test_it_is_0_for_labels_predicted_and_1_for_the_opposite_and_for_no_labels_0_with_a_gradient(loss):
    _, labels = batch()
    right = 100 * F.one_hot(labels.where(labels != IGNORE, 0), 5).movedim(-1, 1).float()
    assert loss(right, labels).item() == pytest.approx(0, abs=1e-6)
    assert loss(right.roll(1, dims=1), labels).item() == pytest.approx(1, abs=1e-6)
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    value = loss(logits, torch.full((1, 8, 8), IGNORE))
    value.backward()
    assert value == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", AUXILIARY.values(), ids=list(AUXILIARY))
def test_an_absent_class_counts_through_the_classes_that_it_takes_pixels_from(loss):
    """All pixels of class 0, half of them predicted as class 1, which no label shows."""
    labels = torch.zeros(1, 2, 2, dtype=torch.long)
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 0, :, 0] = logits[:, 1, :, 1] = 100.0
    expected = {dice_loss: 1 - 2 * 2 / (2 + 4), lovasz_loss: 0.5}[loss]
    assert loss(logits, labels).item() == pytest.approx(expected)


def test_lovasz_of_a_hard_prediction_is_one_minus_its_mean_iou():
    _, labels = batch(labelled=5)
    predicted = torch.randint(0, 5, labels.shape, generator=torch.Generator().manual_seed(3))
    logits = 200 * F.one_hot(predicted, 5).movedim(-1, 1).float()
    valid = labels != IGNORE
    ious = [
        ((predicted == c) & (labels == c)).sum() / (((predicted == c) | (labels == c)) & valid).sum()
        for c in range(5)
    ]
    assert lovasz_loss(logits, labels).item() == pytest.approx(1 - sum(ious).item() / 5, abs=1e-6)


@pytest.mark.parametrize("loss", AUXILIARY.values(), ids=list(AUXILIARY))
def test_it_is_float32_under_mixed_precision(loss):
    logits, labels = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits.bfloat16(), labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits, labels).item(), rel=0.02)


LABELS = [
    np.array([[0, 0, 0, 1], [IGNORE, 0, 0, 1]], dtype=np.uint8),  # 7 labelled: 5 and 2
    np.array([[0, 0, 2]], dtype=np.uint8),  # 3: 2 and 1
]


def test_pixels_are_counted_by_class_and_in_the_images_that_show_it():
    pixels, around = class_pixels(LABELS, num_classes=4)
    assert pixels.tolist() == [7, 2, 1, 0]
    assert around.tolist() == [10, 7, 3, 0]


def test_class_weights_follow_their_papers():
    pixels, around = np.array([7, 2, 1, 0]), np.array([10, 7, 3, 0])
    frequencies = [7 / 10, 2 / 7, 1 / 3]
    median = class_weights("median", pixels, around)
    assert median.tolist() == pytest.approx([(1 / 3) / f for f in frequencies] + [0.0])
    shares = [0.7, 0.2, 0.1, 0.0]
    inverse = class_weights("inverse_log", pixels, around)
    assert inverse.tolist() == pytest.approx([1 / math.log(1.02 + p) for p in shares])
    assert median.dtype == inverse.dtype == torch.float32


@pytest.mark.parametrize("kind", ["median", "inverse_log"])
def test_without_any_label_class_weights_are_finite(kind):
    nothing = np.zeros(3, dtype=np.int64)
    assert class_weights(kind, nothing, nothing).isfinite().all()


def test_a_single_pixel_is_all_that_there_is():
    weights = class_weights("inverse_log", np.array([1, 0]), np.array([1, 0]))
    assert weights.tolist() == pytest.approx([1 / math.log(2.02), 1 / math.log(1.02)])
