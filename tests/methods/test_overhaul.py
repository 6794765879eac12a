import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.methods.overhaul import Overhaul, negative_mean, partial_l2

STUDENT = {"stage1": 2, "stage2": 3, "stage3": 2, "stage4": 4, "aspp": 3, "decoder": 3}
TEACHER = {"stage1": 3, "stage2": 2, "stage3": 2, "stage4": 3, "aspp": 3, "decoder": 2}
DIVISORS = {"stage1": 8, "stage2": 4, "stage3": 2, "stage4": 1, "aspp": 1, "decoder": 16}
LABELS = torch.full((2, 16, 20), 255)  # they play no part, not even by ignoring everything
Array = NDArray[np.float64]


def build() -> Overhaul:
    torch.manual_seed(0)
    method = Overhaul(student_channels=STUDENT, teacher_channels=TEACHER).double()
    for parameter in method.parameters():
        nn.init.normal_(parameter)
    return method


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def features(channels: dict[str, int], *, seed: int, batch: int = 2) -> dict[str, Tensor]:
    """Features as networks give them: the pyramid's map after its ReLU, the others before theirs."""
    taps = {tap: maps(batch, width, 2, 3, seed=seed + i) for i, (tap, width) in enumerate(channels.items())}
    return taps | {"aspp": taps["aspp"].relu()}


def loss(method: Overhaul, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor:
    result: Tensor = method(student, teacher, LABELS[: len(student["aspp"])])["overhaul"]
    return result


def connected(features: Array, connector: nn.Module) -> Array:
    """A 1x1 convolution and batch normalisation with the batch's own statistics."""
    assert isinstance(connector, nn.Sequential)
    weight, scale, shift = (p.detach().numpy() for p in connector.parameters())
    y: Array = np.einsum("tc,bchw->bthw", weight[:, :, 0, 0], features)
    mean, variance = y.mean(axis=(0, 2, 3), keepdims=True), y.var(axis=(0, 2, 3), keepdims=True)
    normalised: Array = (y - mean) / np.sqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]
    return normalised


def oracle(student: Array, teacher: Array) -> float:
    """One tap, value by value, in the paper's cases."""
    total = 0.0
    for channel in range(teacher.shape[1]):
        negative = [value for value in teacher[:, channel].ravel() if value < 0]
        margin = sum(negative) / len(negative) if negative else 0.0
        for s, t in zip(student[:, channel].ravel(), teacher[:, channel].ravel(), strict=True):
            target = t if t > margin else margin
            if target > 0 or s > target:
                total += (s - target) ** 2
    return total / len(teacher)


def test_is_the_definition() -> None:
    method, student, teacher = build(), features(STUDENT, seed=10), features(TEACHER, seed=20)
    expected = 0.0
    for tap, divisor in DIVISORS.items():
        ours = connected(student[tap].numpy(), method.connectors[tap])
        expected += oracle(ours, teacher[tap].numpy()) / divisor
    assert loss(method, student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_the_margin_is_the_mean_of_a_channels_negative_values() -> None:
    responses = torch.tensor([[[[-1.0, 2.0], [-4.0, 5.0]], [[0.0, 1.0], [2.0, 3.0]]]])
    responses = torch.cat([responses, torch.tensor([[[[-1.0, 9.0], [9.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]]]])])
    assert torch.equal(negative_mean(responses), torch.tensor([-2.0, 0.0]).view(1, 2, 1, 1))


@pytest.mark.parametrize(
    ("student", "target", "expected"),
    [(-3.0, -1.0, 0.0), (-1.0, -1.0, 0.0), (0.5, -1.0, 2.25), (-3.0, 1.0, 16.0), (3.0, 1.0, 4.0), (-2, 0, 0)],
)
def test_only_what_a_relu_would_show_counts(student: float, target: float, expected: float) -> None:
    s, t = (torch.full((1, 1, 1, 1), float(value)) for value in (student, target))
    assert partial_l2(s, t).item() == expected


def test_a_student_like_its_target_has_nothing_to_learn() -> None:
    method, student = build(), features(STUDENT, seed=10)
    same = {tap: method.connectors[tap](value).detach() for tap, value in student.items()}
    assert loss(method, student, same).item() == pytest.approx(0, abs=1e-12)


def test_below_its_margin_a_teacher_is_only_silent() -> None:
    method, student, teacher = build(), features(STUDENT, seed=10), features(TEACHER, seed=20)
    tap = teacher["stage4"]
    tap[0, :, 0, 0], tap[0, :, 0, 1] = -4.0, -6.0
    other = teacher | {"stage4": tap.clone()}
    other["stage4"][0, :, 0, 0], other["stage4"][0, :, 0, 1] = -5.0, -5.0  # of the same mean
    torch.testing.assert_close(loss(method, student, other), loss(method, student, teacher))


def test_a_sum_over_the_map_and_a_mean_over_images() -> None:
    method, student, teacher = (
        build(),
        features(STUDENT, seed=10, batch=1),
        features(TEACHER, seed=20, batch=1),
    )
    twice = [{k: v.expand(2, -1, -1, -1) for k, v in taps.items()} for taps in (student, teacher)]
    torch.testing.assert_close(loss(method, twice[0], twice[1]), loss(method, student, teacher))


def test_gradients_are_right() -> None:
    method, student, teacher = build(), features(STUDENT, seed=10), features(TEACHER, seed=20)
    inputs = tuple(value.requires_grad_() for value in student.values())
    assert torch.autograd.gradcheck(
        lambda *taps: loss(method, dict(zip(STUDENT, taps, strict=True)), teacher), inputs, fast_mode=True
    )


def test_the_connectors_learn_and_the_teacher_does_not() -> None:
    method, teacher = build(), features(TEACHER, seed=20)
    loss(method, features(STUDENT, seed=10), {k: v.requires_grad_() for k, v in teacher.items()}).backward()
    assert all(value.grad is None for value in teacher.values())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())


def test_half_precision_features_are_compared_in_full() -> None:
    method, student, teacher = build(), features(STUDENT, seed=10), features(TEACHER, seed=20)
    expected = loss(method, student, teacher).item()
    half = [{tap: value.bfloat16() for tap, value in taps.items()} for taps in (student, teacher)]
    value = loss(method.float(), half[0], half[1])
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=0.02)
