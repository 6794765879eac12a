import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from icsd.methods.base import Ignored
from icsd.methods.csd import CSD, category_similarity

Array = NDArray[np.float64]


def logits(*shape: int, seed: int = 0, scale: float = 4.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=scale, size=shape))


def labels(*shape: int, ignored: float = 0.4) -> Tensor:
    generator = np.random.default_rng(0)
    return torch.from_numpy(np.where(generator.random(shape) < ignored, 255, 1))


def oracle_cells(maps: Array, valid: NDArray[np.bool_], side: int) -> list[list[float]]:
    """One list of averages for every cell that holds a valid position, one entry per class."""
    cells = []
    for top in range(0, maps.shape[1], side):
        for left in range(0, maps.shape[2], side):
            cell = (slice(top, top + side), slice(left, left + side))
            if valid[cell].any():
                cells.append([float(class_map[cell][valid[cell]].mean()) for class_map in maps])
    return cells


def oracle_matrix(cells: list[list[float]], num_classes: int, temperature: float) -> Array:
    distributions = []
    for c in range(num_classes):
        highest = max((cell[c] for cell in cells), default=0.0)
        powers = [math.exp((cell[c] - highest) / temperature) for cell in cells]
        distributions.append([power / sum(powers) for power in powers])
    return np.array(
        [[sum(p * q for p, q in zip(a, b, strict=True)) for b in distributions] for a in distributions]
    )


def oracle(student: Tensor, teacher: Tensor, valid: Tensor, *, temperature: float, side: int) -> float:
    total = 0.0
    for s, t, v in zip(student.numpy(), teacher.numpy(), valid.numpy(), strict=True):
        ours, theirs = (oracle_matrix(oracle_cells(m, v, side), len(m), temperature) for m in (s, t))
        total += ((ours - theirs) ** 2).mean()
    return total / len(student)


def loss(method: CSD, student: Tensor, teacher: Tensor, truth: Tensor) -> Tensor:
    result: Tensor = method({"logits": student}, {"logits": teacher}, truth)["csd"]
    return result


@pytest.mark.parametrize("temperature", [4.0, 1.0])
@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("ignored", ["exclude", "include"])
def test_is_the_definition(temperature: float, side: int, ignored: Ignored) -> None:
    student, teacher, truth = logits(2, 4, 5, 7), logits(2, 4, 5, 7, seed=1), labels(2, 5, 7)
    valid = truth != 255 if ignored == "exclude" else torch.ones_like(truth, dtype=torch.bool)
    method = CSD(temperature=temperature, pool=side, ignored=ignored)
    expected = oracle(student, teacher, valid, temperature=temperature, side=side)
    assert loss(method, student, teacher, truth).item() == pytest.approx(expected, rel=1e-9)


def test_its_defaults_are_the_published_ones() -> None:
    student, teacher, truth = logits(2, 4, 5, 7), logits(2, 4, 5, 7, seed=1), labels(2, 5, 7)
    published = CSD(temperature=4.0, pool=2, ignored="include")
    assert loss(CSD(), student, teacher, truth) == loss(published, student, teacher, truth)


@pytest.mark.parametrize("ignored", ["exclude", "include"])
def test_gradients_are_right(ignored: Ignored) -> None:
    student, teacher = logits(2, 3, 4, 3).requires_grad_(), logits(2, 3, 4, 3, seed=1)
    truth = labels(2, 4, 3)
    truth[1] = 255  # an image without any valid pixel among them
    method = CSD(ignored=ignored)
    assert torch.autograd.gradcheck(lambda s: loss(method, s, teacher, truth), (student,), fast_mode=True)


def test_gradients_do_not_reach_the_teacher() -> None:
    student, teacher = logits(2, 3, 4, 4).requires_grad_(), logits(2, 3, 4, 4, seed=1).requires_grad_()
    torch.autograd.backward(loss(CSD(), student, teacher, labels(2, 4, 4)))
    assert student.grad is not None
    assert teacher.grad is None


def test_a_constant_on_a_class_map_changes_nothing() -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    shifted = student + torch.tensor([100.0, -3.0, 0.5, 7.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(loss(CSD(), shifted, teacher, truth), loss(CSD(), student, teacher, truth))


def test_the_order_of_the_classes_changes_nothing() -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        loss(CSD(), student[:, order], teacher[:, order], truth), loss(CSD(), student, teacher, truth)
    )


def test_flat_maps_are_alike_by_one_over_their_positions() -> None:
    matrix = category_similarity(torch.zeros(1, 3, 4, 5, dtype=torch.float64), temperature=4.0)
    torch.testing.assert_close(matrix, torch.full((1, 3, 3), 1 / 20, dtype=torch.float64))


@pytest.mark.parametrize("garbage", [1e4, math.inf, math.nan])
def test_ignored_positions_are_inert_when_excluded(garbage: float) -> None:
    student, teacher, truth = logits(2, 4, 5, 5).float(), logits(2, 4, 5, 5, seed=1).float(), labels(2, 5, 5)
    outside = (truth == 255)[:, None].expand_as(student)
    dirty = student.masked_fill(outside, garbage).requires_grad_()
    method = CSD(ignored="exclude")
    dirtied = loss(method, dirty, teacher.masked_fill(outside, -garbage), truth)
    (gradient,) = torch.autograd.grad(dirtied, dirty)
    assert torch.equal(dirtied.detach(), loss(method, student, teacher, truth))
    assert gradient.isfinite().all()
    assert (gradient[outside] == 0).all()


def test_no_valid_pixel_gives_zero_when_excluded() -> None:
    student, truth = logits(1, 3, 4, 4).requires_grad_(), torch.full((1, 4, 4), 255)
    value = loss(CSD(ignored="exclude"), student, logits(1, 3, 4, 4, seed=1), truth)
    assert value == 0
    assert (torch.autograd.grad(value, student)[0] == 0).all()


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    student = logits(2, 4, 5, 5)
    assert loss(CSD(), student, student.clone(), labels(2, 5, 5)) == 0


def test_extreme_logits_stay_finite_and_right() -> None:
    student, teacher = (logits(2, 4, 6, 6, seed=seed, scale=5e3).clamp(-1e4, 1e4) for seed in (0, 1))
    truth = labels(2, 6, 6)
    single = student.float().requires_grad_()
    value = loss(CSD(), single, teacher.float(), truth)
    everywhere = torch.ones_like(truth, dtype=torch.bool)
    expected = oracle(student, teacher, everywhere, temperature=4.0, side=2)
    assert value.item() == pytest.approx(expected, rel=1e-4)
    assert torch.autograd.grad(value, single)[0].isfinite().all()


def test_bf16_logits_give_a_float32_loss() -> None:
    student, teacher = logits(1, 4, 5, 5).bfloat16(), logits(1, 4, 5, 5, seed=1).bfloat16()
    truth = labels(1, 5, 5)
    value = loss(CSD(), student, teacher, truth)
    assert value.dtype == torch.float32
    everywhere = torch.ones_like(truth, dtype=torch.bool)
    expected = oracle(student.double(), teacher.double(), everywhere, temperature=4.0, side=2)
    assert value.item() == pytest.approx(expected, rel=1e-4)
