from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.methods.ickd import ICKD, Tap, patches

Array = NDArray[np.float64]


def feature(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=2.0, size=shape))


def method(tap: Tap = "logits", *, student: int = 3, teacher: int = 4, grid: int = 1) -> ICKD:
    return ICKD(student_channels={tap: student}, teacher_channels={tap: teacher}, tap=tap, grid=grid).double()


def loss(ickd: ICKD, student: Tensor, teacher: Tensor) -> Tensor:
    (tap,) = ickd.taps
    no_labels = torch.full((len(student), 8, 8), 255)
    result: Tensor = ickd({tap: student}, {tap: teacher}, no_labels)["ickd"]
    return result


def oracle_matrix(maps: Array) -> Array:
    """Channel by channel, position by position; maps [C, positions]."""
    matrix = np.array([[sum(p * q for p, q in zip(a, b, strict=True)) for b in maps] for a in maps])
    lengths = [max(sum(value**2 for value in row) ** 0.5, 1e-12) for row in matrix]
    return np.asarray(matrix / np.array(lengths)[:, None])


def oracle_edges(size: int, grid: int) -> list[int]:
    """Where pieces start and end: as even as can be, the longer ones first."""
    pieces = min(grid, size)
    lengths = [size // pieces + (piece < size % pieces) for piece in range(pieces)]
    return [sum(lengths[:piece]) for piece in range(pieces + 1)]


def oracle(student: Array, teacher: Array, grid: int = 1) -> float:
    rows, columns = oracle_edges(student.shape[2], grid), oracle_edges(student.shape[3], grid)
    values = []
    for s, t in zip(student, teacher, strict=True):
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                ours, theirs = (
                    oracle_matrix(m[:, top:bottom, left:right].reshape(len(m), -1)) for m in (s, t)
                )
                values.append(((ours - theirs) ** 2).sum() / len(s))
    return float(np.mean(values))


def oracle_embedding(ickd: ICKD, student: Array) -> Array:
    """A 1x1 convolution, then batch normalisation with the batch's own biased variance."""
    convolution, norm = ickd.embed[0], ickd.embed[1]  # type: ignore[index]
    weight = convolution.weight.detach().numpy()[:, :, 0, 0]
    embedded = np.einsum("oc,bchw->bohw", weight, student)
    mean = embedded.mean(axis=(0, 2, 3), keepdims=True)
    variance = embedded.var(axis=(0, 2, 3), keepdims=True)
    scale, shift = (p.detach().numpy()[None, :, None, None] for p in (norm.weight, norm.bias))
    return np.asarray((embedded - mean) / np.sqrt(variance + norm.eps) * scale + shift)


@pytest.mark.parametrize("batch", [1, 3])
def test_is_the_definition_on_logits(batch: int) -> None:
    student, teacher = feature(batch, 4, 3, 5), feature(batch, 4, 3, 5, seed=1)
    expected = oracle(student.numpy(), teacher.numpy())
    assert loss(method(), student, teacher).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tap", ["stage4", "decoder"])
def test_features_pass_the_adapter_first(tap: Tap) -> None:
    ickd, student, teacher = method(tap), feature(2, 3, 4, 5), feature(2, 4, 4, 5, seed=1)
    nn.init.uniform_(ickd.embed[1].weight)  # type: ignore[index]
    nn.init.uniform_(ickd.embed[1].bias)  # type: ignore[index]
    expected = oracle(oracle_embedding(ickd, student.numpy()), teacher.numpy())
    assert ickd.taps == (tap,)
    assert loss(ickd, student, teacher).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("grid", [2, 3, 4, 9])
def test_is_the_mean_over_patches_of_a_grid(grid: int) -> None:
    student, teacher = feature(2, 3, 7, 4), feature(2, 3, 7, 4, seed=1)
    expected = oracle(student.numpy(), teacher.numpy(), grid)
    assert loss(method(grid=grid), student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_patches_hold_every_position_once() -> None:
    maps = torch.arange(35.0).view(1, 1, 7, 5)
    held = torch.cat([stack.flatten() for stack in patches(maps, 3)])
    assert held.sort().values.tolist() == list(range(35))
    assert [tuple(stack.shape) for stack in patches(maps, 3)] == [
        (1, 2, 1, 6),
        (1, 1, 1, 3),
        (1, 4, 1, 4),
        (1, 2, 1, 2),
    ]


def test_a_single_patch_is_the_whole_map() -> None:
    (stack,) = patches(feature(2, 3, 4, 5), 1)
    assert torch.equal(stack, feature(2, 3, 4, 5).flatten(2)[:, None])


@pytest.mark.parametrize("grid", [1, 2])
def test_gradients_are_right(grid: int) -> None:
    student, teacher = feature(2, 3, 3, 3).requires_grad_(), feature(2, 3, 3, 3, seed=1)
    assert torch.autograd.gradcheck(lambda s: loss(method(grid=grid), s, teacher), (student,))


def test_gradients_of_the_feature_form_are_right_and_reach_the_adapter() -> None:
    ickd, teacher = method("aspp"), feature(2, 4, 2, 2, seed=1).requires_grad_()
    student = feature(2, 3, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(ickd, s, teacher.detach()), (student,))
    torch.autograd.backward(loss(ickd, student, teacher))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in ickd.parameters())
    assert teacher.grad is None


def test_only_features_have_an_adapter() -> None:
    assert list(method().parameters()) == []
    assert [tuple(p.shape) for p in method("stage4").parameters()] == [(4, 3, 1, 1), (4,), (4,)]


def test_a_scale_of_an_image_changes_nothing_but_one_of_a_channel_does() -> None:
    student, teacher = feature(2, 4, 3, 5), feature(2, 4, 3, 5, seed=1)
    expected = loss(method(), student, teacher)
    torch.testing.assert_close(
        loss(method(), student * torch.tensor([5.0, 0.1]).view(2, 1, 1, 1), teacher), expected
    )
    stretched = student * torch.tensor([5.0, 1.0, 1.0, 1.0]).view(1, 4, 1, 1)
    assert not torch.allclose(loss(method(), stretched, teacher), expected, rtol=1e-3)


def test_the_order_of_the_positions_changes_nothing() -> None:
    student, teacher = feature(2, 4, 3, 5), feature(2, 4, 3, 5, seed=1)
    torch.testing.assert_close(
        loss(method(), student.flip(2), teacher.flip(2)), loss(method(), student, teacher)
    )


def test_a_student_like_its_teacher_has_nothing_to_learn() -> None:
    student = feature(2, 4, 6, 5)
    assert loss(method(grid=2), student, student.clone()) == 0


def test_a_channel_that_is_zero_has_finite_gradients() -> None:
    student = feature(2, 4, 3, 5).float()
    student[:, 1] = 0
    student.requires_grad_()
    value = loss(method(), student, feature(2, 4, 3, 5, seed=1).float())
    assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_bf16_logits_give_a_float32_loss() -> None:
    student, teacher = feature(2, 4, 3, 5).bfloat16(), feature(2, 4, 3, 5, seed=1).bfloat16()
    value = loss(method(), student, teacher)
    assert value.dtype == torch.float32
    expected = oracle(student.double().numpy(), teacher.double().numpy())
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_bf16_features_pass_the_adapter_in_float32() -> None:
    ickd = method("aspp").float()
    student, teacher = feature(2, 3, 4, 4).bfloat16(), feature(2, 4, 4, 4, seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(ickd, student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(ickd, student.float(), teacher.float()))
