import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from icsd.methods.skd import SKD, node_similarities

Array = NDArray[np.float64]


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def loss(method: SKD, student: Tensor, teacher: Tensor) -> Tensor:
    (tap,) = method.taps
    truth = torch.full((len(student), 32, 32), 255)  # it does not look at labels
    result: Tensor = method({tap: student}, {tap: teacher}, truth)["skd"]
    return result


def oracle_nodes(maps: Array, patch: int) -> list[list[float]]:
    """Patch by patch, channel by channel; maps [K, h, w]."""
    height, width = maps.shape[1:]
    return [
        [float(channel[y : y + patch, x : x + patch].max()) for channel in maps]
        for y in range(0, height, patch)
        for x in range(0, width, patch)
    ]


def cosine(a: list[float], b: list[float]) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def oracle(student: Tensor, teacher: Tensor, patch: int) -> float:
    total = 0.0
    for s, t in zip(student.numpy(), teacher.numpy(), strict=True):
        ours, theirs = oracle_nodes(s, patch), oracle_nodes(t, patch)
        squares = [
            (cosine(ours[i], ours[j]) - cosine(theirs[i], theirs[j])) ** 2
            for i in range(len(ours))
            for j in range(len(ours))
        ]
        total += sum(squares) / len(ours) ** 2
    return total / len(student)


@pytest.mark.parametrize("patch", [1, 2, 3, 16])
def test_is_the_definition(patch: int) -> None:
    student, teacher = features(2, 4, 5, 7), features(2, 6, 5, 7, seed=1)
    expected = oracle(student, teacher, patch)
    assert loss(SKD(patch=patch), student, teacher).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_gradients_are_right() -> None:
    student, teacher = features(2, 3, 3, 4).requires_grad_(), features(2, 5, 3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(SKD(), s, teacher), (student,))


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    assert loss(SKD(), features(2, 4, 6, 6), features(2, 4, 6, 6)) == 0


def test_the_length_of_a_position_s_feature_changes_nothing() -> None:
    student, teacher = features(2, 4, 4, 4), features(2, 6, 4, 4, seed=1)
    lengths = torch.rand(2, 1, 4, 4, dtype=torch.float64) + 0.5
    torch.testing.assert_close(
        loss(SKD(patch=1), student * lengths, teacher), loss(SKD(patch=1), student, teacher)
    )


def test_the_order_of_the_channels_changes_nothing() -> None:
    student, teacher = features(2, 4, 4, 4), features(2, 4, 4, 4, seed=1)
    torch.testing.assert_close(loss(SKD(), student.flip(1), teacher), loss(SKD(), student, teacher))


def test_reads_the_tap_it_is_told() -> None:
    assert SKD(tap="stage4").taps == ("stage4",)
    assert SKD().taps == SKD.taps == ("aspp",)
    assert loss(SKD(tap="stage4"), features(1, 3, 4, 4), features(1, 3, 4, 4, seed=1)) > 0


def test_a_position_of_zeros_is_similar_to_none() -> None:
    student = features(1, 3, 2, 2).float()
    student[..., 0, 0] = 0
    assert (node_similarities(student, 1)[0, 0] == 0).all()
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(SKD(patch=1), student, features(1, 3, 2, 2, seed=1)), student)
    assert gradient.isfinite().all()


def test_bf16_maps_are_compared_in_float32() -> None:
    student, teacher = features(2, 8, 6, 6).bfloat16(), features(2, 8, 6, 6, seed=1).bfloat16()
    value = loss(SKD(), student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(oracle(student.double(), teacher.double(), 2), rel=1e-5)


def test_the_teacher_gets_no_gradient() -> None:
    teacher = features(1, 3, 4, 4, seed=1).requires_grad_()
    loss(SKD(), features(1, 3, 4, 4).requires_grad_(), teacher).backward()
    assert teacher.grad is None
