import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD

from icsd.methods.attnfd import CBAM, AttnFD, TeacherAttention

STUDENT = {"stage4": 3, "aspp": 2, "decoder": 2}
TEACHER = {"stage4": 4, "aspp": 3, "decoder": 2}
SIZES = {"stage4": (2, 3), "aspp": (2, 2), "decoder": (3, 3)}
LABELS = torch.full((2, 12, 16), 255)  # they play no part, not even by ignoring everything
Array = NDArray[np.float64]


def build(teacher_attention: TeacherAttention = "frozen") -> AttnFD:
    torch.manual_seed(0)
    return AttnFD(
        student_channels=STUDENT, teacher_channels=TEACHER, teacher_attention=teacher_attention
    ).double()


def features(channels: dict[str, int], *, seed: int, batch: int = 2) -> dict[str, Tensor]:
    generator = np.random.default_rng(seed)
    return {
        tap: torch.from_numpy(generator.normal(size=(batch, channels[tap], *SIZES[tap]))) for tap in SIZES
    }


def loss(method: AttnFD, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor:
    result: Tensor = method(student, teacher, LABELS[: len(student["aspp"])])["attnfd"]
    return result


def sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def standardised(maps: Array) -> Array:
    """Batch normalisation as it starts: no scale, no shift."""
    mean, variance = maps.mean(axis=(0, 2, 3), keepdims=True), maps.var(axis=(0, 2, 3), keepdims=True)
    result: Array = (maps - mean) / np.sqrt(variance + 1e-5)
    return result


def attended(maps: Array, module: nn.Module) -> Array:
    """The attention of CBAM's paper, batch [B, K, h, w]; of pooled values alone where there is no layer."""
    learned = isinstance(module, CBAM)
    weights = {name: p.detach().numpy() for name, p in module.named_parameters()}

    def perceptron(pooled: Array) -> Array:
        hidden = np.maximum(weights["channel.0.weight"] @ pooled + weights["channel.0.bias"], 0)
        result: Array = weights["channel.2.weight"] @ hidden + weights["channel.2.bias"]
        return result

    weighted = np.empty_like(maps)
    planes = np.empty((len(maps), 2, *maps.shape[2:]))
    for i, image in enumerate(maps):
        mean, largest = image.mean(axis=(1, 2)), image.max(axis=(1, 2))
        scores = perceptron(mean) + perceptron(largest) if learned else mean + largest
        weighted[i] = image * sigmoid(scores)[:, None, None]
        planes[i] = weighted[i].max(axis=0), weighted[i].mean(axis=0)
    positions = planes.sum(axis=1, keepdims=True)
    if learned:
        padded = np.pad(planes, ((0, 0), (0, 0), (3, 3), (3, 3)))
        for i, _, y, x in np.ndindex(*positions.shape):
            positions[i, 0, y, x] = (
                weights["spatial.0.weight"][0] * padded[i, :, y : y + 7, x : x + 7]
            ).sum()
        positions = standardised(positions)
    result: Array = weighted * sigmoid(positions)
    return result


@pytest.mark.parametrize("teacher_attention", ["frozen", "pooled"])
def test_is_the_definition(teacher_attention: TeacherAttention) -> None:
    method, student, teacher = build(teacher_attention), features(STUDENT, seed=1), features(TEACHER, seed=2)
    total = 0.0
    for tap in SIZES:
        ours, theirs = np.maximum(student[tap].numpy(), 0), np.maximum(teacher[tap].numpy(), 0)
        convolution = next(method.connectors[tap].parameters()).detach().numpy()[:, :, 0, 0]
        ours = standardised(np.einsum("tc,bchw->bthw", convolution, attended(ours, method.attention[tap])))
        theirs = attended(theirs, method.teacher_attention[tap])
        for s, t in zip(ours, theirs, strict=True):
            distance = s.ravel() / math.hypot(*s.ravel()) - t.ravel() / math.hypot(*t.ravel())
            total += (distance**2).sum() / 2
    assert loss(method, student, teacher).item() == pytest.approx(total, rel=1e-9)


def test_gradients_are_right() -> None:
    method = build()
    student, teacher = features(STUDENT, seed=1, batch=1), features(TEACHER, seed=2, batch=1)
    inputs = tuple(value.requires_grad_() for value in student.values())
    assert torch.autograd.gradcheck(
        lambda *taps: loss(method, dict(zip(SIZES, taps, strict=True)), teacher), inputs, fast_mode=True
    )


def test_only_the_students_side_learns() -> None:
    method, teacher = build(), features(TEACHER, seed=2)
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    optimiser = SGD(method.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5, foreach=True)
    loss(method, features(STUDENT, seed=1), {k: v.requires_grad_() for k, v in teacher.items()}).backward()
    optimiser.step()
    assert all(value.grad is None for value in teacher.values())
    for name, parameter in method.named_parameters():
        frozen = name.startswith("teacher_attention.")
        assert torch.equal(parameter, before[name]) == frozen
        assert (parameter.grad is None) == frozen


def test_the_frozen_attention_is_kept_in_checkpoints() -> None:
    one = build()
    torch.manual_seed(1)
    other = AttnFD(student_channels=STUDENT, teacher_channels=TEACHER).double()
    student, teacher = features(STUDENT, seed=1), features(TEACHER, seed=2)
    assert not torch.equal(loss(other, student, teacher), loss(one, student, teacher))
    other.load_state_dict(one.state_dict())
    assert torch.equal(loss(other, student, teacher), loss(one, student, teacher))


def test_pooled_attention_has_no_weights() -> None:
    assert not list(build("pooled").teacher_attention.parameters())
    assert not list(build("pooled").teacher_attention.buffers())


def test_attention_of_many_channels_is_the_definition_too() -> None:
    module, maps = CBAM(32).double(), features({**STUDENT, "aspp": 32}, seed=3)["aspp"]
    np.testing.assert_allclose(module(maps).detach().numpy(), attended(maps.numpy(), module), rtol=1e-9)


def test_channel_attention_is_sixteen_times_narrower_and_at_least_one_wide() -> None:
    widths = {
        channels: CBAM(channels).get_submodule("channel.0").get_parameter("weight").shape[0]
        for channels in (2, 32, 512)
    }
    assert widths == {2: 1, 32: 2, 512: 32}


def test_what_a_relu_removes_plays_no_part() -> None:
    method, student, teacher = build(), features(STUDENT, seed=1), features(TEACHER, seed=2)
    lower = [{k: torch.where(v < 0, 9 * v, v) for k, v in taps.items()} for taps in (student, teacher)]
    assert torch.equal(loss(method, lower[0], lower[1]), loss(method, student, teacher))


def test_a_batch_of_one_and_a_silent_teacher_are_finite() -> None:
    method, student = build(), features(STUDENT, seed=1, batch=1)
    teacher = {tap: torch.zeros_like(value) for tap, value in features(TEACHER, seed=2, batch=1).items()}
    value = loss(method, {tap: s.requires_grad_() for tap, s in student.items()}, teacher)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(value, list(student.values())))


def test_half_precision_features_are_compared_in_full() -> None:
    method, student, teacher = build(), features(STUDENT, seed=1), features(TEACHER, seed=2)
    expected = loss(method, student, teacher).item()
    half = [{tap: value.bfloat16() for tap, value in taps.items()} for taps in (student, teacher)]
    value = loss(method.float(), half[0], half[1])
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=0.02)
