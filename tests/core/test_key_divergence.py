import math

import pytest
import torch
from torch.nn import functional as F

from icsd.core import key_divergence
from icsd.core.key_divergence import KeyDivergence


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(
        key_divergence, "CHUNK", {"cpu": 40, "cuda": 40}
    )  # a few rows, the last chunk shorter


def inputs(dtype=torch.float64):
    student, teacher = torch.randn(2, 11, 5, dtype=dtype)
    keys, bias = torch.randn(5, 9, dtype=dtype), torch.zeros(9, dtype=dtype)
    bias[4:6] = torch.finfo(dtype).min
    weights = torch.rand(11, dtype=dtype)
    weights[3] = 0
    return student.requires_grad_(), teacher, keys, bias, weights


def plain(student, teacher, keys, bias, weights):
    ours, theirs = ((x @ keys + bias).log_softmax(dim=1) for x in (student, teacher))
    return (F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1) * weights).sum()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_is_the_plain_form_and_so_is_its_gradient(dtype, tolerance):
    given = inputs(dtype)
    found, wanted = KeyDivergence.apply(*given), plain(*given)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    gradients = [torch.autograd.grad(3 * value, given[0])[0] for value in (found, wanted)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=tolerance, atol=tolerance)


def test_its_gradient_is_that_of_finite_differences():
    given = inputs()
    assert torch.autograd.gradcheck(KeyDivergence.apply, given)


def test_rows_without_a_weight_are_inert():
    student, teacher, keys, bias, weights = inputs()
    dirty = student.detach().clone()
    dirty[3] = math.nan
    value = KeyDivergence.apply(dirty.requires_grad_(), teacher, keys, bias, weights)
    assert torch.equal(value, KeyDivergence.apply(student, teacher, keys, bias, weights))
    (gradient,) = torch.autograd.grad(value, dirty)
    assert (gradient[3] == 0).all()


def test_a_gradient_of_the_gradient_is_refused():
    given = inputs()
    (gradient,) = torch.autograd.grad(KeyDivergence.apply(*given), given[0], create_graph=True)
    # Nothing here needs a gradient twice, so torch may refuse before it reaches the function.
    with pytest.raises(RuntimeError, match=r"differentiate twice|does not require grad"):
        gradient.sum().backward()
