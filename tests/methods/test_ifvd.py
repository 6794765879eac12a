import math

import numpy as np
import pytest
import torch
from torch import Tensor

from icsd.core.logits import valid_positions
from icsd.methods.ifvd import IFVD, class_members


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def labels(*shape: int, seed: int = 0, classes: int = 3) -> Tensor:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, shape)
    return torch.from_numpy(np.where(generator.random(shape) < 0.3, 255, truth))


def loss(method: IFVD, student: Tensor, teacher: Tensor, truth: Tensor) -> Tensor:
    (tap,) = method.taps
    result: Tensor = method({tap: student}, {tap: teacher}, truth)["ifvd"]
    return result


def oracle_similarities(maps: Tensor, truth: Tensor) -> list[float]:
    """Class by class, position by position, of one image; labels at the size of the maps."""
    values = []
    for y, x in [(y, x) for y in range(maps.shape[1]) for x in range(maps.shape[2]) if truth[y, x] != 255]:
        same = [
            maps[:, i, j].tolist()
            for i in range(maps.shape[1])
            for j in range(maps.shape[2])
            if truth[i, j] == truth[y, x]
        ]
        centre = [sum(channel) / len(same) for channel in zip(*same, strict=True)]
        own = maps[:, y, x].tolist()
        product = sum(a * b for a, b in zip(own, centre, strict=True))
        values.append(product / math.hypot(*own) / math.hypot(*centre))
    return values


def oracle(student: Tensor, teacher: Tensor, truth: Tensor) -> float:
    differences = []
    for s, t, y in zip(student, teacher, truth, strict=True):
        pairs = zip(oracle_similarities(s, y), oracle_similarities(t, y), strict=True)
        differences += [(a - b) ** 2 for a, b in pairs]
    return sum(differences) / len(differences)


def test_is_the_definition() -> None:
    student, teacher, truth = features(2, 4, 4, 5), features(2, 6, 4, 5, seed=1), labels(2, 4, 5)
    value = loss(IFVD(num_classes=3), student, teacher, truth)
    assert value.item() == pytest.approx(oracle(student, teacher, truth), rel=1e-9)


@pytest.mark.parametrize(
    ("size", "full"),
    [((3, 5), (9, 17)), ((33, 4), (513, 13)), ((24, 1), (96, 7)), ((4, 4), (4, 4)), ((3, 5), (4, 7))],
)
def test_labels_come_to_the_map_on_the_project_s_grid(size: tuple[int, int], full: tuple[int, int]) -> None:
    truth = labels(2, *full, classes=4)
    members = class_members(truth, size, num_classes=4)
    assert torch.equal(members.any(dim=1), valid_positions(truth, size).flatten(1))
    for label in range(4):
        others_ignored = torch.where(truth == label, truth, 255)
        assert torch.equal(members[:, label], valid_positions(others_ignored, size).flatten(1))


def test_labels_may_be_bytes() -> None:
    truth = torch.tensor([[[0, 255], [254, 1]]], dtype=torch.uint8)
    assert class_members(truth, (2, 2), num_classes=2)[0].nonzero().tolist() == [[0, 0], [1, 3]]


def test_labels_bigger_than_the_map_are_thinned_out() -> None:
    student, teacher, truth = features(2, 4, 3, 4), features(2, 4, 3, 4, seed=1), labels(2, 9, 13)
    value = loss(IFVD(num_classes=3), student, teacher, truth)
    assert value.item() == pytest.approx(oracle(student, teacher, truth[:, ::4, ::4]), rel=1e-9)


def test_gradients_are_right() -> None:
    student, teacher, truth = features(2, 3, 3, 3), features(2, 5, 3, 3, seed=1), labels(2, 3, 3)
    truth[1] = 255  # an image without any labelled pixel among them
    method = IFVD(num_classes=3)
    assert torch.autograd.gradcheck(lambda s: loss(method, s, teacher, truth), (student.requires_grad_(),))


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    assert loss(IFVD(num_classes=3), features(2, 4, 5, 5), features(2, 4, 5, 5), labels(2, 5, 5)) == 0


def test_the_scale_of_a_network_s_features_changes_nothing() -> None:
    student, teacher, truth = features(2, 4, 5, 5), features(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    method = IFVD(num_classes=3)
    torch.testing.assert_close(
        loss(method, 7 * student, teacher / 3, truth), loss(method, student, teacher, truth)
    )


def test_the_names_of_the_classes_change_nothing() -> None:
    student, teacher, truth = features(2, 4, 5, 5), features(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    renamed = torch.where(truth == 255, 255, 2 - truth)
    method = IFVD(num_classes=3)
    torch.testing.assert_close(loss(method, student, teacher, renamed), loss(method, student, teacher, truth))


def test_classes_absent_from_the_labels_change_nothing() -> None:
    student, teacher, truth = features(2, 4, 5, 5), features(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    few, many = IFVD(num_classes=3), IFVD(num_classes=150)
    torch.testing.assert_close(loss(many, student, teacher, truth), loss(few, student, teacher, truth))


def test_ignored_pixels_do_not_count() -> None:
    student, teacher, truth = features(2, 4, 5, 5), features(2, 4, 5, 5, seed=1), labels(2, 5, 5)
    outside = (truth == 255)[:, None]
    method = IFVD(num_classes=3)
    changed = torch.where(outside, 9.0, student)
    torch.testing.assert_close(loss(method, changed, teacher, truth), loss(method, student, teacher, truth))


def test_a_batch_of_ignored_pixels_gives_zero_and_no_gradient() -> None:
    student = features(1, 4, 5, 5).requires_grad_()
    value = loss(IFVD(num_classes=3), student, features(1, 4, 5, 5, seed=1), torch.full((1, 5, 5), 255))
    (gradient,) = torch.autograd.grad(value, student)
    assert value == 0
    assert (gradient == 0).all()


def test_positions_of_zeros_leave_gradients_finite() -> None:
    student = features(1, 4, 3, 3).float()
    student[..., :2] = 0
    student.requires_grad_()
    value = loss(IFVD(num_classes=3), student, features(1, 4, 3, 3, seed=1), labels(1, 3, 3))
    assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_the_teacher_gets_no_gradient() -> None:
    teacher = features(1, 4, 5, 5, seed=1).requires_grad_()
    loss(IFVD(num_classes=3), features(1, 4, 5, 5).requires_grad_(), teacher, labels(1, 5, 5)).backward()
    assert teacher.grad is None


def test_reads_the_tap_it_is_told() -> None:
    method = IFVD(num_classes=3, tap="decoder")
    assert method.taps == ("decoder",)
    assert loss(method, features(1, 4, 5, 5), features(1, 4, 5, 5, seed=1), labels(1, 5, 5)) > 0


def test_bf16_maps_are_compared_in_float32() -> None:
    student, teacher = features(1, 8, 5, 5).bfloat16(), features(1, 8, 5, 5, seed=1).bfloat16()
    truth = labels(1, 5, 5)
    value = loss(IFVD(num_classes=3), student, teacher, truth)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(oracle(student.double(), teacher.double(), truth), rel=1e-5)
