import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.similarity import ics_matrix
from icsd.methods.base import Ignored, Resolution
from icsd.methods.icsd import ICSD, Rows, released_loss, released_matrix

Array = NDArray[np.float64]


def logits(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=scale, size=shape))


def labels(*shape: int, seed: int = 0, ignored: float = 0.3) -> Tensor:
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 3, shape)
    return torch.from_numpy(np.where(generator.random(shape) < ignored, 255, classes))


def oracle_matrix(maps: Array, *, temperature: float, valid: NDArray[np.bool_]) -> Array:
    """Class by class, pair by pair, position by position; maps [C, h, w]."""
    positions = [(y, x) for y in range(maps.shape[1]) for x in range(maps.shape[2]) if valid[y, x]]
    distributions = []
    for class_map in maps:
        highest = max((class_map[at] / temperature for at in positions), default=0.0)
        powers = [math.exp(class_map[at] / temperature - highest) for at in positions]
        log_total = math.log(sum(powers)) if powers else 0.0
        distributions.append([class_map[at] / temperature - highest - log_total for at in positions])
    matrix = np.zeros((len(maps), len(maps)))
    for i, log_p in enumerate(distributions):
        for j, log_q in enumerate(distributions):
            for a, b in zip(log_p, log_q, strict=True):
                matrix[i, j] += math.exp(a) * (a - b)
    return matrix


def oracle_loss(student: Tensor, teacher: Tensor, valid: Tensor, *, temperature: float, rows: Rows) -> float:
    total = 0.0
    for s, t, v in zip(student.numpy(), teacher.numpy(), valid.numpy(), strict=True):
        matrices = [oracle_matrix(maps, temperature=temperature, valid=v) for maps in (s, t)]
        if rows == "l2":
            matrices = [m / np.maximum(np.sqrt((m**2).sum(axis=1, keepdims=True)), 1e-12) for m in matrices]
        total += ((matrices[0] - matrices[1]) ** 2).mean()
    return total / len(student)


def loss(method: ICSD, student: Tensor, teacher: Tensor, truth: Tensor) -> Tensor:
    result: Tensor = method({"logits": student}, {"logits": teacher}, truth)["icsd"]
    return result


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
@pytest.mark.parametrize("rows", ["raw", "l2"])
@pytest.mark.parametrize("ignored", ["exclude", "include"])
def test_is_the_definition(temperature: float, rows: Rows, ignored: Ignored) -> None:
    student, teacher, truth = logits(2, 4, 3, 5), logits(2, 4, 3, 5, seed=1), labels(2, 3, 5)
    valid = truth != 255 if ignored == "exclude" else torch.ones_like(truth, dtype=torch.bool)
    method = ICSD(temperature=temperature, rows=rows, ignored=ignored)
    expected = oracle_loss(student, teacher, valid, temperature=temperature, rows=rows)
    assert loss(method, student, teacher, truth).item() == pytest.approx(expected, rel=1e-9)


def test_at_input_resolution_it_upsamples_first() -> None:
    student, teacher, truth = logits(2, 3, 3, 4), logits(2, 3, 3, 4, seed=1), labels(2, 9, 13)
    full = [F.interpolate(z, (9, 13), mode="bilinear", align_corners=True) for z in (student, teacher)]
    expected = oracle_loss(full[0], full[1], truth != 255, temperature=1.0, rows="raw")
    assert loss(ICSD(resolution="input"), student, teacher, truth).item() == pytest.approx(expected, rel=1e-9)


def test_matrix_is_the_divergence_of_every_pair() -> None:
    maps, truth = logits(2, 5, 4, 4), labels(2, 4, 4)
    matrices = ics_matrix(maps, temperature=2.0, valid=truth != 255)
    for image, matrix in enumerate(matrices.numpy()):
        expected = oracle_matrix(maps[image].numpy(), temperature=2.0, valid=truth[image].numpy() != 255)
        np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows", ["raw", "l2"])
@pytest.mark.parametrize("resolution", ["logits", "input"])
def test_gradients_are_right(rows: Rows, resolution: Resolution) -> None:
    student, teacher = logits(2, 3, 3, 3).requires_grad_(), logits(2, 3, 3, 3, seed=1)
    truth = labels(2, 7, 7)
    truth[1] = 255  # an image without any valid pixel among them
    method = ICSD(rows=rows, resolution=resolution)
    assert torch.autograd.gradcheck(lambda s: loss(method, s, teacher, truth), (student,))


def test_gradients_of_the_released_form_are_right() -> None:
    student, teacher = logits(2, 3, 3, 3).requires_grad_(), logits(2, 3, 3, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: released_loss(s, teacher), (student,))


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_a_constant_on_a_class_map_changes_nothing(variant: str) -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    method = ICSD(variant="paper" if variant == "paper" else "released")
    shifted = student + torch.tensor([100.0, -3.0, 0.5, 7.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(loss(method, shifted, teacher, truth), loss(method, student, teacher, truth))


def test_the_order_of_the_classes_changes_nothing() -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        loss(ICSD(), student[:, order], teacher[:, order], truth), loss(ICSD(), student, teacher, truth)
    )


def test_the_order_of_the_classes_changes_the_released_form() -> None:
    student, teacher = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1)
    order = torch.tensor([2, 0, 3, 1])
    assert not torch.allclose(
        released_loss(student[:, order], teacher[:, order]), released_loss(student, teacher), rtol=1e-3
    )


@pytest.mark.parametrize("garbage", [1e4, -1e4, math.inf, math.nan])
def test_ignored_positions_are_inert(garbage: float) -> None:
    student, teacher, truth = logits(2, 4, 5, 5).float(), logits(2, 4, 5, 5, seed=1).float(), labels(2, 5, 5)
    outside = (truth == 255)[:, None].expand_as(student)
    dirty = student.masked_fill(outside, garbage).requires_grad_()
    dirtied = loss(ICSD(), dirty, teacher.masked_fill(outside, -garbage), truth)
    (gradient,) = torch.autograd.grad(dirtied, dirty)
    assert torch.equal(dirtied.detach(), loss(ICSD(), student, teacher, truth))
    assert gradient.isfinite().all()
    assert (gradient[outside] == 0).all()


def test_extreme_logits_stay_finite_and_right() -> None:
    student, teacher = (logits(2, 4, 6, 6, seed=seed, scale=5e3).clamp(-1e4, 1e4) for seed in (0, 1))
    truth = labels(2, 6, 6)
    single = student.float().requires_grad_()
    value = loss(ICSD(), single, teacher.float(), truth)
    expected = oracle_loss(student, teacher, truth != 255, temperature=1.0, rows="raw")
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert torch.autograd.grad(value, single)[0].isfinite().all()


def test_an_image_without_valid_pixels_counts_as_zero() -> None:
    student, teacher, truth = logits(2, 3, 4, 4), logits(2, 3, 4, 4, seed=1), labels(2, 4, 4)
    truth[1] = 255
    alone = loss(ICSD(), student[:1], teacher[:1], truth[:1])
    torch.testing.assert_close(loss(ICSD(), student, teacher, truth), alone / 2)
    assert (ics_matrix(student, valid=truth != 255)[1] == 0).all()


def test_a_class_absent_from_the_labels_still_has_its_distribution() -> None:
    student, teacher = logits(1, 4, 4, 4), logits(1, 4, 4, 4, seed=1)
    no_class_three, all_zero = torch.randint(0, 3, (1, 4, 4)), torch.zeros(1, 4, 4, dtype=torch.long)
    assert torch.equal(
        loss(ICSD(), student, teacher, no_class_three), loss(ICSD(), student, teacher, all_zero)
    )


def test_released_is_the_published_loop() -> None:
    student, teacher = logits(3, 4, 6, 5), logits(3, 4, 6, 5, seed=1)
    matrices = [published_matrix(z) for z in (student, teacher)]
    torch.testing.assert_close(released_matrix(student), matrices[0])
    rows = [F.normalize(matrix, dim=1) for matrix in matrices]
    expected = ((rows[0] - rows[1]) ** 2).mean() / 3
    torch.testing.assert_close(released_loss(student, teacher), expected)


def published_matrix(maps: Tensor) -> Tensor:
    """As the authors' code does it: a softmax over the height, then one KLDivLoss per class pair."""
    divergence = nn.KLDivLoss(reduction="batchmean")
    p = F.softmax(maps, dim=2)
    matrix = torch.zeros(maps.shape[1], maps.shape[1], dtype=maps.dtype)
    for i in range(maps.shape[1]):
        for j in range(i, maps.shape[1]):
            matrix[i, j] = matrix[j, i] = divergence(p[:, i], p[:, j])
    return matrix


def test_released_fixes_its_own_resolution_rows_and_pixels() -> None:
    student, teacher, truth = logits(2, 3, 4, 4), logits(2, 3, 4, 4, seed=1), labels(2, 16, 16)
    upsampled = [F.interpolate(z, (16, 16), mode="bilinear", align_corners=True) for z in (student, teacher)]
    method = ICSD(variant="released", ignored="exclude", rows="raw", resolution="logits")
    torch.testing.assert_close(
        loss(method, student, teacher, truth), released_loss(upsampled[0], upsampled[1])
    )


def test_released_survives_extreme_logits() -> None:
    student = (logits(2, 3, 5, 5).sign() * 1e4).float().requires_grad_()
    value = released_loss(student, logits(2, 3, 5, 5, seed=1).float())
    assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_the_temperature_divides_the_logits_of_the_released_form() -> None:
    student = logits(2, 3, 5, 5)
    torch.testing.assert_close(
        released_matrix(student, temperature=4.0), released_matrix(student / 4), rtol=1e-6, atol=1e-9
    )
