"""The chunked matrix and its gradient, against torch's own operations in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from icsd.core import chunked_similarity
from icsd.core.similarity import ics_matrix, plain_ics_matrix


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    """Sets such a small chunk size that small maps need several chunks, the last one shorter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked_similarity, "CHUNK", {"cpu": 64, "cuda": 64})
        yield


def loss_and_gradient(matrix_of, student: Tensor, teacher: Tensor, *, rows: bool = False, **options):
    student = student.clone().requires_grad_()
    ours, theirs = (matrix_of(each, **options) for each in (student, teacher))
    if rows:
        ours, theirs = F.normalize(ours, dim=2), F.normalize(theirs, dim=2)
    value = F.mse_loss(ours, theirs)
    return value.detach(), torch.autograd.grad(value, student)[0]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, top) for top in (4, 7, 9, 11))),
    share=st.sampled_from([None, 0.0, 0.1, 0.7, 1.0]),
    temperature=st.sampled_from([1.0, 0.3, 4.0]),
    scale=st.sampled_from([0.1, 1.0, 8.0]),
    rows=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_is_the_plain_form(shape, share, temperature, scale, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    batch, classes, height, width = shape
    student, teacher = scale * torch.randn(2, batch, classes, height, width, generator=generator)
    valid = None if share is None else torch.rand(batch, height, width, generator=generator) < share
    options = {"temperature": temperature, "valid": valid}
    matrix, exact = ics_matrix(student, **options), plain_ics_matrix(student.double(), **options)
    assert matrix.dtype == torch.float32
    torch.testing.assert_close(matrix.double(), exact, rtol=1e-4, atol=1e-6)
    assert (matrix.diagonal(dim1=1, dim2=2) == 0).all()

    found = loss_and_gradient(ics_matrix, student.double(), teacher.double(), rows=rows, **options)
    wanted = loss_and_gradient(plain_ics_matrix, student.double(), teacher.double(), rows=rows, **options)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_gradient_of_every_entry_is_right(masked, temperature):
    logits = torch.randn(3, 3, 4, 7, dtype=torch.float64, requires_grad=True)
    valid = torch.rand(3, 4, 7) < 0.6 if masked else None
    if masked:
        valid[1] = False
    assert torch.autograd.gradcheck(lambda x: ics_matrix(x, temperature=temperature, valid=valid), (logits,))


def test_at_a_large_size_its_float32_gradient_is_no_further_from_float64_than_the_plain_forms(monkeypatch):
    monkeypatch.setattr(chunked_similarity, "CHUNK", {"cpu": 1 << 14})
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 1, 12, 200, 200)
    valid = torch.rand(1, 200, 200) < 0.9
    exact = loss_and_gradient(plain_ics_matrix, student.double(), teacher.double(), valid=valid)[1]
    errors = [
        (loss_and_gradient(form, student, teacher, valid=valid)[1] - exact).norm() / exact.norm()
        for form in (ics_matrix, plain_ics_matrix)
    ]
    assert errors[0] < errors[1] < 1e-3


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 3e38])
def test_ignored_positions_change_no_bit_and_get_no_gradient(garbage):
    student, teacher = torch.randn(2, 2, 3, 6, 9)
    valid = torch.rand(2, 6, 9) < 0.5
    valid[:, 0, 0] = True
    dirty = student.masked_fill(~valid[:, None], garbage)
    value, gradient = loss_and_gradient(ics_matrix, dirty, teacher, valid=valid)
    clean, clean_gradient = loss_and_gradient(ics_matrix, student, teacher, valid=valid)
    assert torch.equal(value, clean)
    assert torch.equal(gradient, clean_gradient)
    assert (gradient[~valid[:, None].expand_as(gradient)] == 0).all()


def test_what_is_no_number_at_a_valid_position_shows():
    logits = torch.randn(1, 3, 6, 9)
    logits[0, 1, 2, 2] = math.nan
    assert ics_matrix(logits, valid=torch.ones(1, 6, 9, dtype=torch.bool)).isnan().any()


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e30])
def test_extreme_logits_stay_finite_and_right(scale):
    torch.manual_seed(0)
    logits = scale * torch.randn(2, 4, 6, 9)
    matrix = ics_matrix(logits)
    torch.testing.assert_close(matrix.double(), plain_ics_matrix(logits.double()), rtol=1e-5, atol=0)
    small = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(ics_matrix(small).sum() / scale, small)
    assert gradient.isfinite().all()


def test_without_a_valid_position_matrix_and_gradient_are_zero():
    logits = torch.randn(2, 3, 6, 9, requires_grad=True)
    valid = torch.ones(2, 6, 9, dtype=torch.bool)
    valid[1] = False
    matrix = ics_matrix(logits, valid=valid)
    (gradient,) = torch.autograd.grad(matrix.sum(), logits)
    assert (matrix[1] == 0).all()
    assert (gradient[1] == 0).all()
    assert gradient[0].abs().sum() > 0


def test_logits_in_channels_last_give_the_same():
    student, teacher = torch.randn(2, 2, 5, 6, 9)
    found = loss_and_gradient(ics_matrix, student.to(memory_format=torch.channels_last), teacher)
    for ours, theirs in zip(found, loss_and_gradient(ics_matrix, student, teacher), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_gradient_can_be_taken_again_and_says_that_it_has_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    value = ics_matrix(logits).square().sum()
    first, second = (torch.autograd.grad(value, logits, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    (gradient,) = torch.autograd.grad(value, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


def test_nothing_of_the_size_of_the_logits_is_kept_but_the_logits():
    logits = torch.randn(1, 3, 40, 40, requires_grad=True)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ics_matrix(logits, valid=torch.ones(1, 40, 40, dtype=torch.bool))
    large = {each.untyped_storage().data_ptr() for each in kept if each.numel() >= logits.numel()}
    assert large == {logits.untyped_storage().data_ptr()}


def test_under_the_compiler_it_is_the_plain_form(monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    logits = torch.randn(1, 3, 4, 4)
    gradient = torch.autograd.functional.hessian(lambda x: ics_matrix(x).square().sum(), logits)
    assert gradient.isfinite().all()  # which the chunked form refuses
    assert torch.equal(ics_matrix(logits), plain_ics_matrix(logits))
