import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from icsd.methods.base import Ignored
from icsd.methods.kd import KD, pixel_kl


def logits(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=scale, size=shape))


def labels(*shape: int, ignored: float = 0.3) -> Tensor:
    generator = np.random.default_rng(0)
    return torch.from_numpy(np.where(generator.random(shape) < ignored, 255, 1))


def log_softmax(values: list[float]) -> list[float]:
    highest = max(values)
    log_total = math.log(sum(math.exp(value - highest) for value in values))
    return [value - highest - log_total for value in values]


def oracle(student: Tensor, teacher: Tensor, valid: Tensor, *, temperature: float) -> float:
    """Image by image, pixel by pixel, class by class."""
    values = []
    for image, row, column in valid.nonzero().tolist():
        s, t = ((z[image, :, row, column] / temperature).tolist() for z in (student, teacher))
        pairs = zip(log_softmax(t), log_softmax(s), strict=True)
        values.append(sum(math.exp(log_t) * (log_t - log_s) for log_t, log_s in pairs))
    return temperature**2 * sum(values) / max(len(values), 1)


def loss(method: KD, student: Tensor, teacher: Tensor, truth: Tensor) -> Tensor:
    result: Tensor = method({"logits": student}, {"logits": teacher}, truth)["kd"]
    return result


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
@pytest.mark.parametrize("ignored", ["exclude", "include"])
def test_is_the_definition(temperature: float, ignored: Ignored) -> None:
    student, teacher, truth = logits(2, 4, 3, 5), logits(2, 4, 3, 5, seed=1), labels(2, 3, 5)
    valid = truth != 255 if ignored == "exclude" else torch.ones_like(truth, dtype=torch.bool)
    expected = oracle(student, teacher, valid, temperature=temperature)
    method = KD(temperature=temperature, ignored=ignored)
    assert loss(method, student, teacher, truth).item() == pytest.approx(expected, rel=1e-9)


def test_at_input_resolution_it_upsamples_first() -> None:
    student, teacher, truth = logits(2, 3, 3, 4), logits(2, 3, 3, 4, seed=1), labels(2, 9, 13)
    full = [F.interpolate(z, (9, 13), mode="bilinear", align_corners=True) for z in (student, teacher)]
    expected = oracle(full[0], full[1], truth != 255, temperature=1.0)
    assert loss(KD(resolution="input"), student, teacher, truth).item() == pytest.approx(expected, rel=1e-9)


def test_by_hand() -> None:
    student, teacher = torch.zeros(1, 2, 1, 1), torch.tensor([math.log(3.0), 0.0]).view(1, 2, 1, 1)
    # The teacher says 3/4 and 1/4, the student 1/2 and 1/2.
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert pixel_kl(student, teacher).item() == pytest.approx(expected)


def test_gradients_are_right() -> None:
    student, teacher, truth = logits(2, 3, 3, 3).requires_grad_(), logits(2, 3, 3, 3, seed=1), labels(2, 3, 3)
    truth[1] = 255
    assert torch.autograd.gradcheck(lambda s: loss(KD(temperature=2.0), s, teacher, truth), (student,))


def test_a_constant_on_all_classes_of_a_pixel_changes_nothing() -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    shifted = student + logits(2, 1, 5, 5, seed=2, scale=50.0)
    torch.testing.assert_close(loss(KD(), shifted, teacher, truth), loss(KD(), student, teacher, truth))


@pytest.mark.parametrize("garbage", [1e4, -1e4])
def test_ignored_pixels_are_inert(garbage: float) -> None:
    student, teacher, truth = logits(2, 4, 5, 5).float(), logits(2, 4, 5, 5, seed=1).float(), labels(2, 5, 5)
    outside = (truth == 255)[:, None].expand_as(student)
    noise = garbage * torch.tensor([1.0, -1.0, 0.5, 0.0]).view(1, 4, 1, 1)
    dirty = torch.where(outside, noise, student).requires_grad_()
    dirtied = loss(KD(), dirty, torch.where(outside, -noise, teacher), truth)
    (gradient,) = torch.autograd.grad(dirtied, dirty)
    assert torch.equal(dirtied.detach(), loss(KD(), student, teacher, truth))
    assert (gradient[outside] == 0).all()


def test_extreme_logits_stay_finite_and_right() -> None:
    student, teacher = (logits(2, 4, 6, 6, seed=seed, scale=5e3).clamp(-1e4, 1e4) for seed in (0, 1))
    truth = labels(2, 6, 6)
    value = loss(KD(), student.float(), teacher.float(), truth)
    assert value.item() == pytest.approx(oracle(student, teacher, truth != 255, temperature=1.0), rel=1e-5)


def test_no_valid_pixel_gives_zero() -> None:
    student, truth = logits(2, 3, 4, 4).requires_grad_(), torch.full((2, 4, 4), 255)
    value = loss(KD(), student, logits(2, 3, 4, 4, seed=1), truth)
    assert value == 0
    assert (torch.autograd.grad(value, student)[0] == 0).all()


def test_images_count_by_their_valid_pixels() -> None:
    student, teacher, truth = logits(2, 3, 4, 4), logits(2, 3, 4, 4, seed=1), labels(2, 4, 4, ignored=0.0)
    truth[1] = 255
    torch.testing.assert_close(
        loss(KD(), student, teacher, truth), loss(KD(), student[:1], teacher[:1], truth[:1])
    )
