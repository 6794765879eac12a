import math

import pytest
import torch
from torch.nn import functional as F

from icsd.core import similarity_divergence
from icsd.core.similarity_divergence import KeyDivergence, PairDivergence, product


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(similarity_divergence, "CHUNK", {"cpu": 40, "cuda": 40})  # a few rows


def to_keys(dtype=torch.float64):
    student, teacher = torch.randn(2, 11, 5, dtype=dtype)
    keys, known = torch.randn(9, 5, dtype=dtype), torch.ones(9, dtype=torch.bool)
    known[4:6] = False
    weights = torch.rand(11, dtype=dtype)
    weights[3] = 0
    return student.requires_grad_(), teacher, keys, known, weights, 0.7


def plain_to_keys(student, teacher, keys, known, weights, temperature):
    ours, theirs = ((x @ keys[known].T / temperature).log_softmax(dim=1) for x in (student, teacher))
    return (F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1) * weights).sum()


def in_pairs(dtype=torch.float64):
    student, teacher = torch.randn(12, 5, dtype=dtype), torch.randn(12, 7, dtype=dtype)
    return student.requires_grad_(), teacher, 3, 0.7


def plain_in_pairs(student, teacher, groups, temperature):
    ours, theirs = (
        (x @ x.T / temperature).view(len(x), groups, -1).log_softmax(dim=2) for x in (student, teacher)
    )
    return F.kl_div(ours, theirs, reduction="sum", log_target=True)


CASES = [
    pytest.param(KeyDivergence, plain_to_keys, to_keys, id="keys"),
    pytest.param(PairDivergence, plain_in_pairs, in_pairs, id="pairs"),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("function", "plain", "inputs"), CASES)
def test_is_the_plain_form_and_so_is_its_gradient(function, plain, inputs, dtype, tolerance):
    given = inputs(dtype)
    found, wanted = function.apply(*given), plain(*given)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    gradients = [torch.autograd.grad(3 * value, given[0])[0] for value in (found, wanted)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("function", "plain", "inputs"), CASES)
def test_its_gradient_is_that_of_finite_differences(function, plain, inputs):
    assert torch.autograd.gradcheck(function.apply, inputs())


def test_rows_without_a_weight_are_inert():
    student, *others = to_keys()
    dirty = student.detach().clone()
    dirty[3] = math.nan
    value = KeyDivergence.apply(dirty.requires_grad_(), *others)
    assert torch.equal(value, KeyDivergence.apply(student, *others))
    (gradient,) = torch.autograd.grad(value, dirty)
    assert (gradient[3] == 0).all()


def test_without_a_known_key_there_is_nothing_to_learn():
    student, teacher, keys, known, weights, temperature = to_keys(torch.float32)
    value = KeyDivergence.apply(student, teacher, keys, known & False, weights, temperature)
    assert value == 0
    assert torch.autograd.grad(value, student)[0].isfinite().all()


@pytest.mark.parametrize(("function", "plain", "inputs"), CASES)
def test_a_gradient_of_the_gradient_is_refused(function, plain, inputs):
    given = inputs()
    (gradient,) = torch.autograd.grad(function.apply(*given), given[0], create_graph=True)
    # Nothing here needs a gradient twice, so torch may refuse before it reaches the function.
    with pytest.raises(RuntimeError, match=r"differentiate twice|does not require grad"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_product_is_torch_s(dtype):
    rows, columns, bias = (torch.randn(size, dtype=dtype) for size in ((7, 5), (5, 9), (9,)))
    torch.testing.assert_close(product(rows, columns, bias), rows @ columns + bias)
    torch.testing.assert_close(product(rows, columns.T.contiguous().T), rows @ columns)


def test_under_the_compiler_a_product_is_an_operation_that_it_knows(monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    monkeypatch.setattr(similarity_divergence, "_suits_onednn", None)  # is not asked
    rows, columns = torch.randn(7, 5), torch.randn(5, 9)
    assert torch.equal(product(rows, columns), rows @ columns)
