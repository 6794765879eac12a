"""Tiled cross-entropy, against upsampling all logits and torch's cross-entropy."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from icsd.core import tiled_cross_entropy as tiled
from icsd.core.labels import IGNORE
from icsd.core.logits import cross_entropy
from icsd.core.tiled_cross_entropy import tiled_cross_entropy

SIZES = [((3, 5), (9, 17)), ((4, 4), (4, 4)), ((1, 6), (7, 21)), ((5, 1), (11, 1)), ((9, 9), (5, 4))]


def inputs(size: tuple[int, int], full: tuple[int, int], *, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels with ignored ones, and weights."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (2, *full), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    logits = 3 * torch.randn(2, classes, *size, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), labels, torch.rand(classes, generator=generator).double() + 0.1


def whole(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """The summed loss, from logits upsampled to the labels' size."""
    full = F.interpolate(logits, tuple(labels.shape[-2:]), mode="bilinear", align_corners=True)
    return F.cross_entropy(full, labels, weights, ignore_index=IGNORE, reduction="sum")


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled, "_CPU_VALUES", 60)
    monkeypatch.setattr(tiled, "_CPU_COLUMNS", 4)


@pytest.mark.parametrize(("size", "full"), SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_are_those_of_the_whole(
    size: tuple[int, int], full: tuple[int, int], weighted: bool
) -> None:
    logits, labels, weights = inputs(size, full, classes=5)
    values = [loss(logits, labels, weights if weighted else None) for loss in (tiled_cross_entropy, whole)]
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in values))


def test_the_gradient_is_the_functions() -> None:
    logits, labels, weights = inputs((3, 4), (7, 9), classes=4)
    assert torch.autograd.gradcheck(lambda each: tiled_cross_entropy(each, labels, weights), logits)


def test_the_gradient_can_be_taken_again_and_is_scaled() -> None:
    logits, labels, _ = inputs((3, 5), (9, 17), classes=5)
    value = tiled_cross_entropy(logits, labels, None)
    (once,) = torch.autograd.grad(value, logits, retain_graph=True)
    (twice,) = torch.autograd.grad(2 * value, logits)
    torch.testing.assert_close(twice, 2 * once)


def test_in_float32_the_gradient_is_nearer_to_float64_than_the_wholes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    exact, labels, _ = inputs((50, 50), (200, 200), classes=24)
    (expected,) = torch.autograd.grad(whole(exact, labels, None), exact)
    logits = exact.detach().float().requires_grad_()
    errors = [
        (torch.autograd.grad(loss(logits, labels, None), logits)[0] - expected).abs().max()
        for loss in (tiled_cross_entropy, whole)
    ]
    assert errors[0] < errors[1]


def test_logits_far_apart_stay_finite() -> None:
    logits, labels, _ = inputs((3, 5), (9, 17), classes=5)
    logits = (1e4 * logits.detach()).float().requires_grad_()
    value = tiled_cross_entropy(logits, labels, None)
    torch.testing.assert_close(value, whole(logits, labels, None))
    assert torch.autograd.grad(value, logits)[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_classes_go_tile_by_tile(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    logits, labels, _ = inputs((4, 4), (8, 8), classes=30)
    logits = logits.detach().to(dtype).to(memory_format=torch.channels_last).requires_grad_()
    calls: list[int] = []
    forward = tiled._replace_by_gradient

    def counted(values: Tensor, *rest: Tensor) -> Tensor:
        calls.append(len(values))
        return forward(values, *rest)

    monkeypatch.setattr(tiled, "_replace_by_gradient", counted)
    value = cross_entropy(logits, labels)
    value.backward()
    assert set(calls) == {30}
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, whole(logits.float(), labels, None) / (labels != IGNORE).sum())
    cross_entropy(logits[:, :21], torch.zeros_like(labels))
    assert set(calls) == {30}
    assert cross_entropy(logits, torch.full_like(labels, IGNORE)) == 0.0
