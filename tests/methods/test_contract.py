"""What every method in METHODS must hold, new ones included."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

import icsd.methods
from icsd.core.supervision import AUXILIARY
from icsd.methods import METHODS, Method, build_method

CHANNELS = {"stage1": 4, "stage2": 6, "stage3": 8, "stage4": 10, "aspp": 12, "decoder": 12, "logits": 5}
STRIDES = {"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 16, "aspp": 16, "decoder": 4, "logits": 4}
REAL = [name for name, method in METHODS.items() if method is not None]


class OnlyThese(dict[str, Tensor]):
    """Taps that refuse to be read beyond what a method declares."""

    def __missing__(self, key: str) -> Tensor:
        raise AssertionError(f"reads {key}, which its `taps` do not declare")


def build(name: str) -> Method:
    """The method with its defaults; adapters and queues are the same every time."""
    terms = METHODS[name].terms
    block = {"alw": False, "weights": dict.fromkeys(terms, 1.0)}
    torch.manual_seed(0)
    method = build_method(name, block, student_channels=CHANNELS, teacher_channels=CHANNELS, num_classes=5)
    assert method is not None
    return method


def taps(method: Method, *, seed: int, batch: int = 2) -> OnlyThese:
    generator = torch.Generator().manual_seed(seed)
    sizes = {tap: (batch, CHANNELS[tap], 32 // STRIDES[tap], 48 // STRIDES[tap]) for tap in method.taps}
    return OnlyThese(
        {tap: torch.randn(size, generator=generator).requires_grad_() for tap, size in sizes.items()}
    )


def loss(method: Method, student: dict[str, Tensor], teacher: dict[str, Tensor], truth: Tensor) -> Tensor:
    """Sum of the terms, from the state and the random numbers that a fresh method has."""
    torch.manual_seed(1)
    fresh = copy.deepcopy(method) if method.draws else method
    return torch.stack(list(fresh(student, teacher, truth).values())).sum()


def labels(batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 5, (batch, 32, 48), generator=generator)
    return torch.where(torch.rand(truth.shape, generator=generator) < 0.2, 255, truth)


@pytest.mark.parametrize("name", REAL)
def test_gives_its_terms_as_finite_float32_scalars_from_its_taps(name: str) -> None:
    method = build(name)
    terms = method(taps(method, seed=1), taps(method, seed=2), labels())
    assert tuple(terms) == method.terms
    for term in terms.values():
        assert (term.shape, term.dtype) == ((), torch.float32)
        assert term.isfinite()
        assert term > 0


@pytest.mark.parametrize("name", REAL)
def test_gradients_reach_the_student_and_not_the_teacher(name: str) -> None:
    method = build(name)
    student, teacher = taps(method, seed=1), taps(method, seed=2)
    for term in method(student, teacher, labels()).values():
        gradients = torch.autograd.grad(term, list(student.values()), retain_graph=True, allow_unused=True)
        assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
        assert term.grad_fn is not None
    loss(method, student, teacher, labels()).backward()
    assert all(tap.grad is None for tap in teacher.values())


@pytest.mark.parametrize("name", [name for name in REAL if not list(build(name).parameters())])
def test_a_student_like_its_teacher_has_nothing_to_learn(name: str) -> None:
    method = build(name)
    for term in method(taps(method, seed=1), taps(method, seed=1), labels()).values():
        assert abs(term.item()) < 1e-6


@pytest.mark.parametrize("name", [name for name in REAL if list(build(name).parameters())])
def test_what_a_method_trains_beside_the_student_is_reached(name: str) -> None:
    method = build(name)
    loss(method, taps(method, seed=1), taps(method, seed=2), labels()).backward()
    if method.draws:
        torch.manual_seed(1)
        sum(method(taps(method, seed=1), taps(method, seed=2), labels()).values()).backward()
    for key, parameter in method.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, key


@pytest.mark.parametrize("name", [name for name in REAL if not METHODS[name].draws])
def test_the_order_of_the_images_changes_nothing(name: str) -> None:
    method = build(name)
    student, teacher = taps(method, seed=1), taps(method, seed=2)
    flipped = [
        OnlyThese({tap: value.flip(0) for tap, value in network.items()}) for network in (student, teacher)
    ]
    expected = method(student, teacher, labels())
    for term, value in method(flipped[0], flipped[1], labels().flip(0)).items():
        torch.testing.assert_close(value, expected[term])


@pytest.mark.parametrize("name", REAL)
def test_the_same_random_numbers_and_state_give_the_same_loss(name: str) -> None:
    method = build(name)
    student, teacher = taps(method, seed=1), taps(method, seed=2)
    assert torch.equal(loss(method, student, teacher, labels()), loss(method, student, teacher, labels()))


@pytest.mark.parametrize("name", REAL)
def test_autocast_does_not_reach_inside(name: str) -> None:
    method = build(name)
    student, teacher = taps(method, seed=1), taps(method, seed=2)
    expected = loss(method, student, teacher, labels())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(method, student, teacher, labels()), expected)


@pytest.mark.parametrize("name", REAL)
def test_bf16_taps_give_float32_terms(name: str) -> None:
    method = build(name)
    student, teacher = taps(method, seed=1), taps(method, seed=2)
    half = [OnlyThese({k: v.bfloat16() for k, v in network.items()}) for network in (student, teacher)]
    value = loss(method, half[0], half[1], labels())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(method, student, teacher, labels()), rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("name", REAL)
def test_a_batch_of_one_and_an_ignored_batch_are_finite(name: str) -> None:
    method = build(name)
    for truth in (labels(batch=1), torch.full((1, 32, 48), 255)):
        student = taps(method, seed=1, batch=1)
        total = loss(method, student, taps(method, seed=2, batch=1), truth)
        assert total.isfinite()
        if total.requires_grad:
            total.backward()
        assert all(tap.grad is None or tap.grad.isfinite().all() for tap in student.values())


@pytest.mark.parametrize("name", REAL)
def test_a_class_absent_from_the_batch_is_no_trouble(name: str) -> None:
    method = build(name)
    student = taps(method, seed=1)
    total = loss(method, student, taps(method, seed=2), labels().clamp(max=2))
    total.backward()
    assert total.isfinite()
    assert all(tap.grad is None or tap.grad.isfinite().all() for tap in student.values())


@pytest.mark.parametrize("name", REAL)
def test_weights_as_published_name_the_terms(name: str) -> None:
    method = METHODS[name]
    assert method is not None
    assert set(method.published) <= {*method.terms, "kd"}
    if method.published:
        assert set(method.terms) <= set(method.published)


@pytest.mark.parametrize("name", REAL)
def test_any_method_may_be_joined_by_pixel_wise_kd(name: str) -> None:
    terms = METHODS[name].terms
    block = {"alw": True, "weights": {**dict.fromkeys(terms, 1.0), "kd": 1.0}}
    torch.manual_seed(0)
    method = build_method(name, block, student_channels=CHANNELS, teacher_channels=CHANNELS, num_classes=5)
    assert method is not None
    assert set(method.terms) == {*terms, "kd"}
    student, teacher = taps(method, seed=1), taps(method, seed=2)
    kd = build("kd")(student, teacher, labels())["kd"]
    assert method(student, teacher, labels())["kd"].item() == pytest.approx(kd.item(), rel=1e-6)


@pytest.mark.parametrize("name", REAL)
def test_terms_have_names_of_their_own(name: str) -> None:
    method = build(name)
    assert len(set(method.terms)) == len(method.terms) > 0
    assert not {"ce", "total", *AUXILIARY} & set(method.terms)
    assert set(method.taps) <= CHANNELS.keys()


def test_every_file_is_a_method() -> None:
    files = {path.stem for path in Path(icsd.methods.__file__).parent.glob("*.py")}
    assert files - {"__init__", "base", "blocks", "sources"} == METHODS.keys()
