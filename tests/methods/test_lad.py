import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.methods.lad import LAD, Normalise

STUDENT = {"stage4": 2, "aspp": 3, "decoder": 3}
TEACHER = {"stage4": 4, "aspp": 3, "decoder": 2}
SIZES = {"stage4": (2, 3), "aspp": (2, 3), "decoder": (4, 5)}
LABELS = torch.full((2, 16, 20), 255)  # they play no part, not even by ignoring everything
Array = NDArray[np.float64]


def build(normalise: Normalise = "layer") -> LAD:
    torch.manual_seed(0)
    method = LAD(student_channels=STUDENT, teacher_channels=TEACHER, normalise=normalise).double()
    for parameter in method.parameters():
        nn.init.normal_(parameter)
    return method


def features(channels: dict[str, int], *, seed: int, batch: int = 2) -> dict[str, Tensor]:
    generator = np.random.default_rng(seed)
    return {
        tap: torch.from_numpy(generator.normal(size=(batch, channels[tap], *SIZES[tap]))) for tap in SIZES
    }


def loss(method: LAD, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor:
    result: Tensor = method(student, teacher, LABELS[: len(student["aspp"])])["lad"]
    return result


def connected(maps: Array, connector: nn.Module) -> Array:
    """A 1x1 convolution and batch normalisation with the batch's own statistics."""
    assert isinstance(connector, nn.Sequential)
    weight, scale, shift = (p.detach().numpy() for p in connector.parameters())
    y: Array = np.einsum("tc,bchw->bthw", weight[:, :, 0, 0], maps)
    mean, variance = y.mean(axis=(0, 2, 3), keepdims=True), y.var(axis=(0, 2, 3), keepdims=True)
    normalised: Array = (y - mean) / np.sqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]
    return normalised


def vectors(maps: Array, normalise: Normalise) -> list[Array]:
    images, channels, height, width = maps.shape
    if normalise == "layer":
        return [maps[i].ravel() for i in range(images)]
    if normalise == "pixel":
        return [maps[i, :, y, x] for i, y, x in np.ndindex(images, height, width)]
    return [maps[i, c].ravel() for i, c in np.ndindex(images, channels)]


@pytest.mark.parametrize("normalise", ["layer", "pixel", "channel"])
def test_is_the_definition(normalise: Normalise) -> None:
    method, student, teacher = build(normalise), features(STUDENT, seed=1), features(TEACHER, seed=2)
    total = 0.0
    for tap in SIZES:
        ours = vectors(connected(student[tap].numpy(), method.connectors[tap]), normalise)
        theirs = vectors(teacher[tap].numpy(), normalise)
        distances = [
            sum((a / math.hypot(*s) - b / math.hypot(*t)) ** 2 for a, b in zip(s, t, strict=True))
            for s, t in zip(ours, theirs, strict=True)
        ]
        total += sum(distances) / len(distances)
    assert loss(method, student, teacher).item() == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("normalise", ["layer", "pixel", "channel"])
def test_the_magnitude_of_the_features_changes_nothing(normalise: Normalise) -> None:
    method, student, teacher = build(normalise), features(STUDENT, seed=1), features(TEACHER, seed=2)
    larger = {tap: 1000 * value for tap, value in teacher.items()}
    torch.testing.assert_close(loss(method, student, larger), loss(method, student, teacher))


def test_an_image_weighs_the_same_however_large_its_features() -> None:
    method, student, teacher = build(), features(STUDENT, seed=1), features(TEACHER, seed=2)
    uneven = {tap: value * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1) for tap, value in teacher.items()}
    torch.testing.assert_close(loss(method, student, uneven), loss(method, student, teacher))


@pytest.mark.parametrize("normalise", ["layer", "pixel", "channel"])
def test_maps_that_agree_give_nothing_and_opposite_ones_four_per_tap(normalise: Normalise) -> None:
    method, student = build(normalise), features(STUDENT, seed=1)
    same = {tap: method.connectors[tap](value).detach() for tap, value in student.items()}
    opposite = {tap: -value for tap, value in same.items()}
    assert loss(method, student, same).item() == pytest.approx(0, abs=1e-12)
    assert loss(method, student, opposite).item() == pytest.approx(12)


@pytest.mark.parametrize("normalise", ["layer", "pixel", "channel"])
def test_gradients_are_right(normalise: Normalise) -> None:
    method, student, teacher = build(normalise), features(STUDENT, seed=1), features(TEACHER, seed=2)
    inputs = tuple(value.requires_grad_() for value in student.values())
    assert torch.autograd.gradcheck(
        lambda *taps: loss(method, dict(zip(SIZES, taps, strict=True)), teacher), inputs
    )


def test_a_silent_teacher_gives_finite_gradients() -> None:
    method, student = build("pixel"), features(STUDENT, seed=1, batch=1)
    teacher = {tap: torch.zeros_like(value) for tap, value in features(TEACHER, seed=2, batch=1).items()}
    gradients = torch.autograd.grad(
        loss(method, {tap: value.requires_grad_() for tap, value in student.items()}, teacher),
        list(student.values()),
    )
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_connectors_learn_and_the_teacher_does_not() -> None:
    method, teacher = build(), features(TEACHER, seed=2)
    loss(method, features(STUDENT, seed=1), {k: v.requires_grad_() for k, v in teacher.items()}).backward()
    assert all(value.grad is None for value in teacher.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


def test_half_precision_features_are_compared_in_full() -> None:
    method, student, teacher = build(), features(STUDENT, seed=1), features(TEACHER, seed=2)
    expected = loss(method, student, teacher).item()
    half = [{tap: value.bfloat16() for tap, value in taps.items()} for taps in (student, teacher)]
    value = loss(method.float(), half[0], half[1])
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=0.02)
