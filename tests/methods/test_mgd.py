import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.methods.mgd import MGD, random_mask

LABELS = torch.full((2, 12, 16), 255)  # they play no part, not even by ignoring everything
Array = NDArray[np.float64]


def build(students: int = 2, teachers: int = 3, mask_ratio: float = 0.75) -> MGD:
    torch.manual_seed(0)
    return MGD(
        student_channels={"stage4": students}, teacher_channels={"stage4": teachers}, mask_ratio=mask_ratio
    ).double()


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def loss(method: MGD, student: Tensor, teacher: Tensor, *, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    result: Tensor = method({"stage4": student}, {"stage4": teacher}, LABELS[: len(student)])["mgd"]
    return result


def convolved(features: Array, conv: nn.Module) -> Array:
    """Position by position; features [K, h, w]."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    reach = weight.shape[-1] // 2
    padded = np.pad(features, ((0, 0), (reach, reach), (reach, reach)))
    result = np.empty((len(weight), *features.shape[1:]))
    for k, y, x in np.ndindex(*result.shape):
        window = padded[:, y : y + 2 * reach + 1, x : x + 2 * reach + 1]
        result[k, y, x] = (weight[k] * window).sum() + bias[k]
    return result


@pytest.mark.parametrize("students", [2, 3])
@pytest.mark.parametrize("mask_ratio", [0.0, 0.5, 0.75])
def test_is_the_definition(students: int, mask_ratio: float) -> None:
    method = build(students, mask_ratio=mask_ratio)
    student, teacher = maps(2, students, 4, 5), maps(2, 3, 4, 5, seed=1)
    torch.manual_seed(0)
    masks = random_mask(teacher, ratio=mask_ratio).numpy()
    total = 0.0
    for s, t, mask in zip(student.numpy(), teacher.numpy(), masks, strict=True):
        aligned = np.maximum(s, 0) if students == 3 else convolved(np.maximum(s, 0), method.align)
        hidden = np.maximum(convolved(aligned * mask, method.generator[0]), 0)
        total += ((convolved(hidden, method.generator[2]) - np.maximum(t, 0)) ** 2).sum()
    assert loss(method, student, teacher).item() == pytest.approx(total / 2, rel=1e-9)


def test_the_ratio_is_the_share_of_positions_masked_in_all_channels() -> None:
    torch.manual_seed(0)
    mask = random_mask(torch.zeros(4, 7, 100, 100), ratio=0.75)
    assert mask.shape == (4, 1, 100, 100)
    assert mask.double().mean(dim=(1, 2, 3)).numpy() == pytest.approx(0.25, abs=0.02)
    assert random_mask(torch.zeros(1, 1, 50, 50), ratio=0.0).all()


def test_masks_are_drawn_anew_and_again_from_the_same_seed() -> None:
    method, student, teacher = build(), maps(2, 2, 4, 4), maps(2, 3, 4, 4, seed=1)
    assert torch.equal(loss(method, student, teacher, seed=3), loss(method, student, teacher, seed=3))
    assert not torch.equal(loss(method, student, teacher, seed=3), loss(method, student, teacher, seed=4))
    assert method.draws


def test_what_a_relu_removes_plays_no_part() -> None:
    method, student, teacher = build(), maps(2, 2, 4, 4), maps(2, 3, 4, 4, seed=1)
    lower = [torch.where(features < 0, 9 * features, features) for features in (student, teacher)]
    assert torch.equal(loss(method, lower[0], lower[1]), loss(method, student, teacher))


def test_a_sum_over_the_map_and_a_mean_over_images() -> None:
    method, student, teacher = build(mask_ratio=0.0), maps(1, 2, 4, 4), maps(1, 3, 4, 4, seed=1)
    once = loss(method, student, teacher)
    twice = loss(method, student.expand(2, -1, -1, -1), teacher.expand(2, -1, -1, -1))
    torch.testing.assert_close(twice, once)


def test_gradients_are_right() -> None:
    method, teacher = build(mask_ratio=0.5), maps(2, 3, 3, 3, seed=1)
    student = maps(2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(method, s, teacher), (student,))


def test_the_generator_learns_and_the_teacher_does_not() -> None:
    method, teacher = build(), maps(1, 3, 4, 4, seed=1).requires_grad_()
    loss(method, maps(1, 2, 4, 4), teacher).backward()
    assert teacher.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


def test_half_precision_features_are_compared_in_full() -> None:
    method, student, teacher = build(), maps(2, 2, 4, 4), maps(2, 3, 4, 4, seed=1)
    expected = loss(method, student, teacher).item()
    half = loss(method.float(), student.bfloat16(), teacher.bfloat16())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(expected, rel=0.02)
