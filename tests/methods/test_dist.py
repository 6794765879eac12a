import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from icsd.methods.base import Ignored, Terms
from icsd.methods.dist import DIST

Array = NDArray[np.float64]
TERMS = ("dist_inter", "dist_intra")


def logits(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=scale, size=shape))


def labels(*shape: int, ignored: float = 0.3) -> Tensor:
    generator = np.random.default_rng(0)
    return torch.from_numpy(np.where(generator.random(shape) < ignored, 255, 1))


def oracle_probabilities(maps: Tensor, valid: Tensor, temperature: float) -> Array:
    """One row per valid pixel of the batch, one column per class."""
    rows = []
    for image, row, column in valid.nonzero().tolist():
        scores = (maps[image, :, row, column] / temperature).tolist()
        powers = [math.exp(score - max(scores)) for score in scores]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows)


def oracle(student: Tensor, teacher: Tensor, valid: Tensor, *, temperature: float) -> tuple[float, float]:
    s, t = (oracle_probabilities(z, valid, temperature) for z in (student, teacher))
    by_pixel = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(s, t, strict=True)]
    by_class = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(s.T, t.T, strict=True)]
    return temperature**2 * float(np.mean(by_pixel)), temperature**2 * float(np.mean(by_class))


def loss(method: DIST, student: Tensor, teacher: Tensor, truth: Tensor) -> Terms:
    result: Terms = method({"logits": student}, {"logits": teacher}, truth)
    return result


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
@pytest.mark.parametrize("ignored", ["exclude", "include"])
def test_is_the_definition(temperature: float, ignored: Ignored) -> None:
    student, teacher, truth = logits(2, 4, 3, 5), logits(2, 4, 3, 5, seed=1), labels(2, 3, 5)
    valid = truth != 255 if ignored == "exclude" else torch.ones_like(truth, dtype=torch.bool)
    terms = loss(DIST(temperature=temperature, ignored=ignored), student, teacher, truth)
    expected = oracle(student, teacher, valid, temperature=temperature)
    assert tuple(terms) == TERMS
    assert [term.item() for term in terms.values()] == pytest.approx(expected, rel=1e-9)


def test_a_batch_of_one_is_the_definition_too() -> None:
    student, teacher, truth = logits(1, 4, 3, 5), logits(1, 4, 3, 5, seed=1), labels(1, 3, 5)
    terms = loss(DIST(), student, teacher, truth)
    expected = oracle(student, teacher, truth != 255, temperature=1.0)
    assert [term.item() for term in terms.values()] == pytest.approx(expected, rel=1e-9)


def test_classes_are_correlated_over_the_batch_and_not_image_by_image() -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5, ignored=0.0)
    together = loss(DIST(), student, teacher, truth)
    alone = [
        loss(DIST(), student[i : i + 1], teacher[i : i + 1], truth[i : i + 1]) for i in range(len(student))
    ]
    inter, intra = (torch.stack([terms[name] for terms in alone]).mean() for name in TERMS)
    torch.testing.assert_close(together["dist_inter"], inter)
    assert not torch.allclose(together["dist_intra"], intra, rtol=1e-3)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("ignored", ["exclude", "include"])
def test_gradients_are_right(term: str, ignored: Ignored) -> None:
    student, teacher, truth = logits(2, 3, 3, 3).requires_grad_(), logits(2, 3, 3, 3, seed=1), labels(2, 3, 3)
    truth[1] = 255
    method = DIST(temperature=2.0, ignored=ignored)
    assert torch.autograd.gradcheck(lambda s: loss(method, s, teacher, truth)[term], (student,))


def test_gradients_do_not_reach_the_teacher() -> None:
    student, teacher = logits(2, 3, 4, 4).requires_grad_(), logits(2, 3, 4, 4, seed=1).requires_grad_()
    torch.autograd.backward(sum(loss(DIST(), student, teacher, labels(2, 4, 4)).values(), torch.tensor(0.0)))
    assert student.grad is not None
    assert teacher.grad is None


def test_a_constant_on_all_classes_of_a_pixel_changes_nothing() -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    shifted = student + logits(2, 1, 5, 5, seed=2, scale=50.0)
    torch.testing.assert_close(loss(DIST(), shifted, teacher, truth), loss(DIST(), student, teacher, truth))


def test_a_fainter_teacher_asks_for_the_same() -> None:
    student, teacher, truth = logits(2, 4, 5, 5), logits(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    fainter = (0.2 * teacher.softmax(dim=1) + 0.8 / 4).log()
    torch.testing.assert_close(loss(DIST(), student, fainter, truth), loss(DIST(), student, teacher, truth))


@pytest.mark.parametrize("garbage", [1e4, math.inf, math.nan])
def test_ignored_pixels_are_inert(garbage: float) -> None:
    student, teacher, truth = logits(2, 4, 5, 5).float(), logits(2, 4, 5, 5, seed=1).float(), labels(2, 5, 5)
    outside = (truth == 255)[:, None].expand_as(student)
    dirty = student.masked_fill(outside, garbage).requires_grad_()
    dirtied = loss(DIST(), dirty, teacher.masked_fill(outside, -garbage), truth)
    clean = loss(DIST(), student, teacher, truth)
    (gradient,) = torch.autograd.grad(dirtied["dist_inter"] + dirtied["dist_intra"], dirty)
    assert all(torch.equal(dirtied[term].detach(), clean[term]) for term in TERMS)
    assert gradient.isfinite().all()
    assert (gradient[outside] == 0).all()


def test_no_valid_pixel_gives_zero() -> None:
    student, truth = logits(2, 3, 4, 4).requires_grad_(), torch.full((2, 4, 4), 255)
    terms = loss(DIST(), student, logits(2, 3, 4, 4, seed=1), truth)
    assert all(term == 0 for term in terms.values())
    (gradient,) = torch.autograd.grad(terms["dist_inter"] + terms["dist_intra"], student)
    assert (gradient == 0).all()


def test_one_valid_pixel_tells_nothing_about_its_classes() -> None:
    student, teacher = logits(1, 3, 4, 4).float().requires_grad_(), logits(1, 3, 4, 4, seed=1).float()
    truth = torch.full((1, 4, 4), 255)
    truth[0, 1, 2] = 0
    terms = loss(DIST(), student, teacher, truth)
    assert terms["dist_intra"] == 1  # no correlation
    assert (torch.autograd.grad(terms["dist_intra"], student, retain_graph=True)[0] == 0).all()
    (gradient,) = torch.autograd.grad(terms["dist_inter"], student)
    assert gradient.isfinite().all()
    assert gradient[0, :, 1, 2].abs().sum() > 0


@pytest.mark.parametrize("level", [0.0, 3.0])
@pytest.mark.parametrize("flat", ["student", "teacher", "both"])
def test_uniform_logits_have_no_correlation_and_finite_gradients(flat: str, level: float) -> None:
    networks = {"student": logits(2, 4, 5, 5).float(), "teacher": logits(2, 4, 5, 5, seed=1).float()}
    for network in networks if flat == "both" else [flat]:
        networks[network] = torch.full((2, 4, 5, 5), level)
    student = networks["student"].requires_grad_()
    terms = loss(DIST(), student, networks["teacher"], labels(2, 5, 5))
    (gradient,) = torch.autograd.grad(terms["dist_inter"] + terms["dist_intra"], student)
    assert [term.item() for term in terms.values()] == pytest.approx([1.0, 1.0])
    assert gradient.isfinite().all()


def test_a_class_that_neither_sees_pulls_at_nothing() -> None:
    student, teacher = logits(2, 3, 5, 5).float(), logits(2, 3, 5, 5, seed=1).float()
    student[:, 2], teacher[:, 2] = student[:, 2] - 40, teacher[:, 2] - 40
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(DIST(), student, teacher, labels(2, 5, 5))["dist_intra"], student)
    assert gradient[:, 2].abs().max() < 1e-9 * gradient[:, :2].abs().max()


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    student = logits(2, 4, 9, 9).float()
    terms = loss(DIST(), student, student.clone(), labels(2, 9, 9))
    assert all(term == 0 for term in terms.values())


def test_extreme_logits_stay_finite() -> None:
    student = (logits(2, 4, 6, 6).sign() * 1e4).float().requires_grad_()
    terms = loss(DIST(), student, logits(2, 4, 6, 6, seed=1, scale=5e3).float(), labels(2, 6, 6))
    (gradient,) = torch.autograd.grad(terms["dist_inter"] + terms["dist_intra"], student)
    assert all(term.isfinite() for term in terms.values())
    assert gradient.isfinite().all()


def test_bf16_logits_give_float32_terms() -> None:
    student, teacher = logits(2, 4, 5, 5).bfloat16(), logits(2, 4, 5, 5, seed=1).bfloat16()
    truth = labels(2, 5, 5)
    terms = loss(DIST(), student, teacher, truth)
    expected = oracle(student.double(), teacher.double(), truth != 255, temperature=1.0)
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert [term.item() for term in terms.values()] == pytest.approx(expected, rel=1e-5)


def test_a_single_valid_pixel_is_all_that_there_is() -> None:
    student, teacher = logits(1, 4, 3, 5), logits(1, 4, 3, 5, seed=1)
    truth = torch.full((1, 3, 5), 255)
    truth[0, 1, 2] = 1
    value = loss(DIST(ignored="exclude"), student, teacher, truth)["dist_inter"].item()
    s, t = (oracle_probabilities(z, truth != 255, 1.0)[0] for z in (student, teacher))
    assert value == pytest.approx(1 - np.corrcoef(s, t)[0, 1], rel=1e-9)
