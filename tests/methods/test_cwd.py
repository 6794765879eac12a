import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.methods.base import Ignored
from icsd.methods.cwd import CWD, Tap

STUDENT = {"logits": 3, "stage4": 3, "aspp": 4, "decoder": 2}
TEACHER = {"logits": 3, "stage4": 5, "aspp": 4, "decoder": 4}


def build(tap: Tap = "logits", temperature: float = 4.0, ignored: Ignored = "include") -> CWD:
    return CWD(
        student_channels=STUDENT, teacher_channels=TEACHER, tap=tap, temperature=temperature, ignored=ignored
    ).double()


def maps(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=scale, size=shape))


def labels(*shape: int) -> Tensor:
    generator = np.random.default_rng(0)
    return torch.from_numpy(np.where(generator.random(shape) < 0.3, 255, generator.integers(0, 3, shape)))


def loss(method: CWD, student: Tensor, teacher: Tensor, truth: Tensor) -> Tensor:
    (tap,) = method.taps
    result: Tensor = method({tap: student}, {tap: teacher}, truth)["cwd"]
    return result


def oracle(student: Tensor, teacher: Tensor, valid: NDArray[np.bool_], *, temperature: float) -> float:
    """Image by image, channel by channel, position by position."""
    images, channels = teacher.shape[:2]
    total = 0.0
    for image in range(images):
        positions = [(y, x) for y, x in np.ndindex(*valid.shape[1:]) if valid[image, y, x]]
        for channel in range(channels):
            s, t = (
                [math.exp(float(z[image, channel, y, x]) / temperature) for y, x in positions]
                for z in (student, teacher)
            )
            for a, b in zip(s, t, strict=True):
                total += b / sum(t) * math.log((b / sum(t)) / (a / sum(s)))
    return temperature**2 * total / (images * channels)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("ignored", ["include", "exclude"])
def test_is_the_definition(temperature: float, ignored: Ignored) -> None:
    student, teacher, truth = maps(2, 3, 3, 5), maps(2, 3, 3, 5, seed=1), labels(2, 3, 5)
    valid = truth.numpy() != 255 if ignored == "exclude" else np.ones((2, 3, 5), bool)
    value = loss(build(temperature=temperature, ignored=ignored), student, teacher, truth)
    assert value.item() == pytest.approx(oracle(student, teacher, valid, temperature=temperature), rel=1e-9)


def test_features_of_another_width_are_aligned_by_a_convolution_without_bias() -> None:
    method = build(tap="stage4")
    assert isinstance(method.align, nn.Conv2d)
    assert method.align.bias is None
    student, teacher = maps(2, 3, 3, 4), maps(2, 5, 3, 4, seed=1)
    aligned = torch.einsum("tc,bchw->bthw", method.align.weight[:, :, 0, 0].detach(), student)
    expected = 5 / 3 * oracle(aligned, teacher, np.ones((2, 3, 4), bool), temperature=4.0)
    assert loss(method, student, teacher, labels(2, 12, 16)).item() == pytest.approx(expected, rel=1e-9)


def cirkd_loss(
    aligned: Tensor, teacher: Tensor, *, student_channels: int, temperature: float = 4.0
) -> Tensor:
    """CIRKD's feature loss, written out: its n and c are read off the student's map before the projection."""
    images = aligned.shape[0]
    p = torch.softmax(teacher.flatten(2) / temperature, dim=2).reshape(images, -1)
    log_q = torch.log_softmax(aligned.flatten(2) / temperature, dim=2).reshape(images, -1)
    loss = nn.functional.kl_div(log_q, p, reduction="sum") * temperature**2
    return loss / (images * student_channels)


@pytest.mark.parametrize("tap", ["stage4", "decoder", "aspp"])
def test_the_published_weight_for_features_is_of_the_published_size(tap: Tap) -> None:
    """CIRKD divides by the student's width, whatever the teacher's."""
    method = build(tap=tap)
    ours, theirs = STUDENT[tap], TEACHER[tap]
    student, teacher = maps(2, ours, 3, 4), maps(2, theirs, 3, 4, seed=1)
    expected = cirkd_loss(method.align(student), teacher, student_channels=ours)
    torch.testing.assert_close(loss(method, student, teacher, labels(2, 12, 16)), expected)


@pytest.mark.parametrize("tap", ["logits", "aspp"])
def test_features_of_the_same_width_meet_as_they_are(tap: Tap) -> None:
    method, features = build(tap=tap), maps(2, STUDENT[tap], 4, 4)
    assert not list(method.parameters())
    assert loss(method, features, features, labels(2, 16, 16)).item() == pytest.approx(0, abs=1e-12)


def test_gradients_are_right() -> None:
    student, teacher, truth = maps(2, 3, 3, 3).requires_grad_(), maps(2, 3, 3, 3, seed=1), labels(2, 3, 3)
    truth[1] = 255
    for ignored in ("include", "exclude"):
        method = build(ignored="include" if ignored == "include" else "exclude")
        assert torch.autograd.gradcheck(
            lambda s, m=method: loss(m, s, teacher, truth), (student,), fast_mode=True
        )
    features, wanted = maps(2, 2, 3, 3).requires_grad_(), maps(2, 4, 3, 3, seed=1)
    aligning = build(tap="decoder")
    assert torch.autograd.gradcheck(lambda s: loss(aligning, s, wanted, truth), (features,), fast_mode=True)


def test_a_constant_on_a_channel_changes_nothing() -> None:
    student, teacher, truth = maps(2, 3, 4, 4), maps(2, 3, 4, 4, seed=1), labels(2, 4, 4)
    shifted = student + torch.tensor([50.0, -3.0, 0.5]).view(1, 3, 1, 1)
    torch.testing.assert_close(loss(build(), shifted, teacher, truth), loss(build(), student, teacher, truth))


def test_channels_meet_only_themselves() -> None:
    student, teacher, truth = maps(1, 3, 4, 4), maps(1, 3, 4, 4, seed=1), labels(1, 4, 4)
    together, order = loss(build(), student, teacher, truth), [1, 2, 0]
    torch.testing.assert_close(loss(build(), student[:, order], teacher[:, order], truth), together)
    assert not torch.isclose(loss(build(), student[:, order], teacher, truth), together, rtol=1e-3)


@pytest.mark.parametrize("garbage", [1e4, math.inf, math.nan])
def test_excluded_positions_are_inert(garbage: float) -> None:
    student, teacher, truth = maps(2, 3, 4, 4).float(), maps(2, 3, 4, 4, seed=1).float(), labels(2, 4, 4)
    outside = (truth == 255)[:, None].expand_as(student)
    dirty = student.masked_fill(outside, garbage).requires_grad_()
    method = build(ignored="exclude")
    value = loss(method, dirty, teacher.masked_fill(outside, -garbage), truth)
    (gradient,) = torch.autograd.grad(value, dirty)
    assert torch.equal(value.detach(), loss(method, student, teacher, truth))
    assert (gradient[outside] == 0).all()


def test_an_image_without_valid_positions_counts_as_zero() -> None:
    student, teacher, truth = maps(2, 3, 4, 4).requires_grad_(), maps(2, 3, 4, 4, seed=1), labels(2, 4, 4)
    truth[1] = 255
    method = build(ignored="exclude")
    value = loss(method, student, teacher, truth)
    (gradient,) = torch.autograd.grad(value, student)
    torch.testing.assert_close(value, loss(method, student[:1], teacher[:1], truth[:1]) / 2)
    assert gradient.isfinite().all()
    assert (gradient[1] == 0).all()


def test_extreme_logits_stay_finite() -> None:
    student = (maps(2, 3, 4, 4).sign() * 1e4).float().requires_grad_()
    value = loss(build(temperature=1.0), student, maps(2, 3, 4, 4, seed=1).float(), labels(2, 4, 4))
    assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_half_precision_features_are_compared_in_full() -> None:
    student, teacher, truth = maps(1, 3, 4, 4), maps(1, 3, 4, 4, seed=1), labels(1, 4, 4)
    half = loss(build(), student.bfloat16(), teacher.bfloat16(), truth)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss(build(), student, teacher, truth).item(), rel=0.02)
