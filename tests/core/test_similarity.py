import math

import pytest
import torch
from torch.nn import functional as F

from icsd.core.similarity import full_precision, ics_matrix


def test_by_hand() -> None:
    # Two class maps over two positions: probabilities (1/2, 1/2) and (3/4, 1/4).
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]]).view(1, 2, 1, 2)
    expected = [
        [0.0, 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)],
        [0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5), 0.0],
    ]
    torch.testing.assert_close(ics_matrix(logits)[0], torch.tensor(expected))


def test_is_a_divergence_and_no_distance() -> None:
    matrix = ics_matrix(torch.randn(3, 6, 5, 5))
    assert (matrix >= 0).all()
    assert (matrix.diagonal(dim1=1, dim2=2) == 0).all()
    assert not torch.allclose(matrix, matrix.transpose(1, 2))


def test_only_valid_positions_count() -> None:
    logits = torch.randn(1, 4, 3, 6)
    valid = torch.zeros(1, 3, 6, dtype=torch.bool)
    valid[:, :, :2] = True
    torch.testing.assert_close(ics_matrix(logits, valid=valid), ics_matrix(logits[..., :2]))
    assert (ics_matrix(logits, valid=torch.zeros_like(valid)) == 0).all()


@pytest.mark.parametrize(("scale", "error"), [(0.01, 5e-3), (0.1, 5e-5), (1.0, 5e-6), (5.0, 2e-5)])
@pytest.mark.parametrize("masked", [False, True])
def test_nearly_uniform_maps_keep_their_digits(scale: float, error: float, masked: bool) -> None:
    """Relative to float64; log p in place of log(N p) has 0.15, 1.9e-3, 1.5e-5 and 7e-6 at this size."""
    torch.manual_seed(0)
    logits = scale * torch.randn(1, 11, 128, 128)
    valid = torch.rand(1, 128, 128) < 0.7 if masked else None
    exact = ics_matrix(logits.double(), valid=valid)
    difference = (ics_matrix(logits, valid=valid).double() - exact).abs()
    assert (difference / exact.clamp(min=1e-300))[exact > 0].max() < error


def test_gradients_of_nearly_uniform_maps_keep_their_digits_too() -> None:
    """Of the row-normalised loss, which divides by what is left of the digits."""
    torch.manual_seed(0)
    logits, teacher = 0.1 * torch.randn(2, 1, 6, 64, 64)

    def gradient(student: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        student = student.clone().requires_grad_()
        ours, theirs = (F.normalize(ics_matrix(each), dim=2) for each in (student, other))
        (found,) = torch.autograd.grad(F.mse_loss(ours, theirs), student)
        return found.double()

    exact = gradient(logits.double(), teacher.double())
    assert (gradient(logits, teacher) - exact).norm() / exact.norm() < 1e-3


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = torch.randn(2, 4, 3, 6)
    torch.testing.assert_close(ics_matrix(logits, temperature=temperature), ics_matrix(logits / temperature))


def test_full_precision_casts_up_only_and_stops_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with full_precision(
            torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(2, 2, dtype=torch.float64)
        ) as both:
            assert [tensor.dtype for tensor in both] == [torch.float32, torch.float64]
            assert (both[0] @ both[0]).dtype == torch.float32
        assert (both[0] @ both[0]).dtype == torch.bfloat16
