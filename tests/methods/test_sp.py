import numpy as np
import pytest
import torch
from torch import Tensor

from icsd.methods.sp import SimilarityPreserving, Tap, image_similarity


def feature(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=2.0, size=shape))


def oracle_matrix(maps: Tensor) -> list[list[float]]:
    """Pair by pair, entry by entry."""
    images = [image.flatten().tolist() for image in maps]
    products = [[sum(p * q for p, q in zip(a, b, strict=True)) for b in images] for a in images]
    lengths = [sum(value**2 for value in row) ** 0.5 for row in products]
    return [[value / length for value in row] for row, length in zip(products, lengths, strict=True)]


def oracle(student: Tensor, teacher: Tensor) -> float:
    ours, theirs = oracle_matrix(student), oracle_matrix(teacher)
    num_images = len(ours)
    total = sum((ours[i][j] - theirs[i][j]) ** 2 for i in range(num_images) for j in range(num_images))
    return total / num_images**2


def loss(student: Tensor, teacher: Tensor, *, tap: Tap = "aspp") -> Tensor:
    no_labels = torch.full((len(student), 8, 8), 255)
    result: Tensor = SimilarityPreserving(tap=tap)({tap: student}, {tap: teacher}, no_labels)["sp"]
    return result


@pytest.mark.parametrize("batch", [2, 5])
def test_is_the_definition_whatever_the_widths(batch: int) -> None:
    student, teacher = feature(batch, 3, 2, 4), feature(batch, 5, 2, 4, seed=1)
    assert loss(student, teacher).item() == pytest.approx(oracle(student, teacher), rel=1e-9)


def test_gradients_are_right() -> None:
    student, teacher = feature(3, 2, 2, 2).requires_grad_(), feature(3, 4, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student,))


def test_gradients_do_not_reach_the_teacher() -> None:
    student, teacher = feature(3, 2, 2, 2).requires_grad_(), feature(3, 4, 2, 2, seed=1).requires_grad_()
    torch.autograd.backward(loss(student, teacher))
    assert student.grad is not None
    assert teacher.grad is None


def test_rows_have_length_one() -> None:
    lengths = image_similarity(feature(4, 3, 2, 2)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(4, dtype=torch.float64))


def test_a_rotation_and_a_scale_of_all_features_change_nothing() -> None:
    student, teacher = feature(4, 3, 2, 2), feature(4, 5, 2, 2, seed=1)
    rotation, _ = torch.linalg.qr(feature(12, 12, seed=2))
    rotated = (7.0 * student.flatten(1) @ rotation).view_as(student)
    torch.testing.assert_close(loss(rotated, teacher), loss(student, teacher))


def test_a_batch_of_one_has_nothing_to_compare() -> None:
    student = feature(1, 3, 2, 2).float().requires_grad_()
    value = loss(student, feature(1, 5, 2, 2, seed=1).float())
    (gradient,) = torch.autograd.grad(value, student)
    assert value == 0
    assert (gradient == 0).all()


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    student = feature(4, 3, 2, 2)
    assert loss(student, student.clone()) == 0


@pytest.mark.parametrize("tap", ["stage1", "stage4", "decoder"])
def test_reads_the_tap_it_is_told_to(tap: Tap) -> None:
    student, teacher = feature(3, 2, 2, 2), feature(3, 4, 2, 2, seed=1)
    assert SimilarityPreserving(tap=tap).taps == (tap,)
    assert loss(student, teacher, tap=tap) == loss(student, teacher)


def test_a_dead_image_has_finite_gradients() -> None:
    student = torch.relu(feature(3, 2, 2, 2).float())
    student[1] = 0
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(student, feature(3, 4, 2, 2, seed=1).float()), student)
    assert gradient.isfinite().all()


def test_bf16_maps_give_a_float32_loss() -> None:
    student, teacher = feature(3, 2, 2, 2).bfloat16(), feature(3, 4, 2, 2, seed=1).bfloat16()
    value = loss(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(oracle(student.double(), teacher.double()), rel=1e-5)
