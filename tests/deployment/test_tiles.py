from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.deployed import picture
from torch import nn

from icsd.core.logits import upsample
from icsd.deployment.tiles import places, tiled_logits


def joined(logits, image, **options):
    """The logits of all rows, which must come without gaps."""
    parts, expected = [], 0
    for row, part in tiled_logits(logits, image, **options):
        assert row == expected
        parts.append(part.clone())
        expected += part.shape[1]
    return torch.cat(parts, dim=1)


def normalised(images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("side", [31, 32, 33, 64, 100, 257])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6, 0.9])
def test_tiles_cover_a_side_and_their_weights_add_up_to_one(side, overlap):
    begins, weights = places(side, 32, overlap)
    total = torch.zeros(side)
    for begin, weight in zip(begins, weights, strict=True):
        assert (weight > 0).all()
        total[begin : begin + len(weight)] += weight
    torch.testing.assert_close(total, torch.ones(side))
    common = [first + 32 - second for first, second in pairwise(begins)]
    assert all(pixels >= int(32 * overlap) for pixels in common)


def test_a_tiles_weight_falls_to_nothing_towards_its_neighbours_only():
    begins, weights = places(80, 32, 0.5)
    assert len(begins) == 4
    assert weights[0][0] == weights[-1][-1] == 1
    assert weights[0][-1] < 0.1
    assert weights[1][0] < 0.1
    assert (weights[1].diff()[:8] > 0).all()


@pytest.mark.parametrize("size", [(20, 30), (32, 32), (32, 9)])
def test_an_image_that_fits_a_tile_has_exactly_the_logits_of_the_whole(size):
    network = nn.Conv2d(3, 5, 5, stride=4, padding=2)
    image = picture(*size)
    with torch.no_grad():
        whole = upsample(network(normalised([image])), size)[0]
        tiled = joined(lambda parts: network(normalised(parts)), image, tile=32, overlap=0.25, batch=4)
    assert torch.equal(tiled, whole)


@pytest.mark.parametrize(("size", "batch"), [((70, 90), 3), ((33, 64), 1), ((20, 101), 2)])
def test_of_a_network_that_sees_single_pixels_tiles_change_nothing(size, batch):
    network = nn.Conv2d(3, 5, 1)
    image = picture(*size)
    with torch.no_grad():
        whole = network(normalised([image]))[0]
        tiled = joined(lambda parts: network(normalised(parts)), image, tile=32, overlap=0.25, batch=batch)
    torch.testing.assert_close(tiled, whole, atol=1e-5, rtol=1e-5)


def test_of_a_network_that_sees_a_few_pixels_only_the_edges_of_tiles_change():
    network = nn.Conv2d(3, 4, 5, padding=2)
    image = picture(32, 80)
    with torch.no_grad():
        whole = network(normalised([image]))[0]
        tiled = joined(lambda parts: network(normalised(parts)), image, tile=32, overlap=0.5, batch=4)
    begins, _ = places(80, 32, 0.5)
    edges = [column for begin in begins for column in (begin, begin + 1, begin + 30, begin + 31)]
    inside = [column for column in range(80) if column not in edges or column in (0, 1, 78, 79)]
    torch.testing.assert_close(tiled[..., inside], whole[..., inside], atol=1e-5, rtol=1e-5)
    assert (tiled - whole).abs().max() < 0.15 * whole.abs().max()


def test_there_is_no_seam_where_tiles_disagree():
    def level(parts):
        """Logits that differ from tile to tile by a constant, as those of a network with a global pool."""
        means = normalised(parts).mean(dim=(1, 2, 3))[:, None, None, None]
        return means.expand(len(parts), 2, 8, 8)

    image = np.linspace(0, 255, 64).astype(np.uint8)[None, :, None].repeat(32, 0).repeat(3, 2)
    hard, blended = (
        joined(level, image, tile=32, overlap=overlap, batch=8).diff(dim=-1).abs() for overlap in (0.0, 0.25)
    )
    assert (hard > 0.1).any(-1).all(), "without overlap the step is there"
    assert blended.max() < 0.04


def test_only_a_line_of_tiles_is_in_memory():
    shapes = [
        part.shape[1]
        for _, part in tiled_logits(
            lambda parts: torch.zeros(len(parts), 2, 8, 8), picture(300, 40), tile=32, overlap=0.25, batch=4
        )
    ]
    assert max(shapes) <= 32
    assert sum(shapes) == 300
