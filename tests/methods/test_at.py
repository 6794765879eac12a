import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from icsd.methods.at import AttentionTransfer, Tap, attention

Array = NDArray[np.float64]


def feature(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=2.0, size=shape))


def oracle_map(maps: Array) -> list[float]:
    """Position by position, channel by channel; maps [C, h, w]."""
    energy = [
        sum(channel[y, x] ** 2 for channel in maps) / len(maps)
        for y in range(maps.shape[1])
        for x in range(maps.shape[2])
    ]
    length = sum(value**2 for value in energy) ** 0.5
    return [value / length for value in energy]


def oracle(student: Tensor, teacher: Tensor) -> float:
    differences = []
    for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
        differences += [(a - b) ** 2 for a, b in zip(oracle_map(s), oracle_map(t), strict=True)]
    return float(sum(differences)) / len(differences)


def loss(student: Tensor, teacher: Tensor, *, tap: Tap = "decoder") -> Tensor:
    no_labels = torch.full((len(student), 8, 8), 255)
    result: Tensor = AttentionTransfer(tap=tap)({tap: student}, {tap: teacher}, no_labels)["at"]
    return result


@pytest.mark.parametrize("batch", [1, 3])
def test_is_the_definition_whatever_the_widths(batch: int) -> None:
    student, teacher = feature(batch, 3, 4, 5), feature(batch, 7, 4, 5, seed=1)
    assert loss(student, teacher).item() == pytest.approx(oracle(student, teacher), rel=1e-9)


def test_gradients_are_right() -> None:
    student, teacher = feature(2, 3, 3, 2).requires_grad_(), feature(2, 4, 3, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student,))


def test_gradients_do_not_reach_the_teacher() -> None:
    student, teacher = feature(2, 3, 3, 2).requires_grad_(), feature(2, 4, 3, 2, seed=1).requires_grad_()
    torch.autograd.backward(loss(student, teacher))
    assert student.grad is not None
    assert teacher.grad is None


def test_attention_has_length_one_over_the_whole_map() -> None:
    torch.testing.assert_close(attention(feature(2, 3, 4, 5)).norm(dim=1), torch.ones(2, dtype=torch.float64))


def test_scale_sign_and_order_of_the_channels_change_nothing() -> None:
    student, teacher = feature(2, 3, 4, 5), feature(2, 4, 4, 5, seed=1)
    scales = torch.tensor([-3.0, 0.25]).view(2, 1, 1, 1)
    torch.testing.assert_close(loss((student * scales).flip(1), teacher), loss(student, teacher))


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    student = feature(2, 3, 4, 5)
    assert loss(student, student.clone()) == 0


@pytest.mark.parametrize("tap", ["stage4", "aspp", "decoder"])
def test_reads_the_tap_it_is_told_to(tap: Tap) -> None:
    student, teacher = feature(2, 3, 4, 5), feature(2, 4, 4, 5, seed=1)
    assert AttentionTransfer(tap=tap).taps == (tap,)
    assert loss(student, teacher, tap=tap) == loss(student, teacher)


def test_a_dead_map_has_finite_gradients() -> None:
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(student, feature(2, 3, 4, 4).float()), student)
    assert gradient.isfinite().all()


def test_bf16_maps_give_a_float32_loss() -> None:
    student, teacher = feature(2, 3, 4, 5).bfloat16(), feature(2, 4, 4, 5, seed=1).bfloat16()
    value = loss(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(oracle(student.double(), teacher.double()), rel=1e-5)
