import pytest
import torch
from tests.data.plain_views import blurred_fully

from icsd.data.colours import gaussian_blur


@pytest.mark.parametrize("radius", [0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.999])
def test_what_a_blur_leaves_out_is_less_than_half_a_step(radius):
    values = torch.randint(0, 2, (3, 30, 40), generator=torch.Generator().manual_seed(0)) * 255.0
    assert (gaussian_blur(values.clone(), radius) - blurred_fully(values, radius)).abs().max() < 0.25


def test_a_blur_leaves_a_flat_image_as_it_is():
    flat = torch.full((3, 9, 9), 200.0)
    torch.testing.assert_close(gaussian_blur(flat.clone(), 0.9), flat)
