import numpy as np
import pytest
import torch
from torch import Tensor

from icsd.methods.fitnet import FitNet, Tap

STUDENT = {"stage1": 2, "stage2": 2, "stage3": 3, "stage4": 3, "aspp": 3, "decoder": 4}
TEACHER = {"stage1": 2, "stage2": 4, "stage3": 4, "stage4": 6, "aspp": 4, "decoder": 4}
LABELS = torch.full((2, 12, 16), 255)  # they play no part, not even by ignoring everything


def build(tap: Tap = "aspp") -> FitNet:
    return FitNet(student_channels=STUDENT, teacher_channels=TEACHER, tap=tap).double()


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def loss(method: FitNet, student: Tensor, teacher: Tensor) -> Tensor:
    (tap,) = method.taps
    result: Tensor = method({tap: student}, {tap: teacher}, LABELS[: len(student)])["fitnet"]
    return result


@pytest.mark.parametrize("tap", ["aspp", "decoder", "stage1"])
def test_is_the_definition(tap: Tap) -> None:
    method = build(tap)
    student, teacher = maps(2, STUDENT[tap], 3, 4), maps(2, TEACHER[tap], 3, 4, seed=1)
    weight = method.regressor.weight.detach().numpy()
    total = 0.0
    for image, channel, y, x in np.ndindex(*teacher.shape):
        regressed = sum(
            weight[channel, c, 0, 0] * float(student[image, c, y, x]) for c in range(STUDENT[tap])
        )
        total += (regressed - float(teacher[image, channel, y, x])) ** 2
    assert loss(method, student, teacher).item() == pytest.approx(total / teacher.numel(), rel=1e-9)


def test_the_regressor_is_there_even_between_equal_widths() -> None:
    method, features = build("decoder"), maps(2, 4, 3, 4)
    assert [parameter.shape for parameter in method.parameters()] == [(4, 4, 1, 1)]
    assert loss(method, features, features) > 0
    with torch.no_grad():
        method.regressor.weight.copy_(torch.eye(4)[:, :, None, None])
    assert loss(method, features, features) == 0


def test_gradients_are_right() -> None:
    method, teacher = build(), maps(2, 4, 2, 3, seed=1)
    student = maps(2, 3, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(method, s, teacher), (student,))


def test_student_and_regressor_learn_and_the_teacher_does_not() -> None:
    method = build()
    student, teacher = maps(1, 3, 2, 3).requires_grad_(), maps(1, 4, 2, 3, seed=1).requires_grad_()
    loss(method, student, teacher).backward()
    assert teacher.grad is None
    for learner in (student, method.regressor.weight):
        assert learner.grad is not None
        assert learner.grad.abs().sum() > 0


def test_half_precision_features_are_compared_in_full() -> None:
    student, teacher = maps(2, 3, 3, 4), maps(2, 4, 3, 4, seed=1)
    method = build()
    expected = loss(method, student, teacher).item()
    half = loss(method.float(), student.bfloat16(), teacher.bfloat16())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(expected, rel=0.02)
