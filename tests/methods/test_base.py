import pytest
import torch
from torch.nn import functional as F

from icsd.core.logits import valid_positions
from icsd.methods.base import at_resolution, counted


@pytest.mark.parametrize(
    ("size", "full"), [((3, 5), (9, 17)), ((129, 4), (513, 13)), ((24, 1), (96, 7)), ((4, 4), (4, 4))]
)
def test_valid_positions_lie_where_upsampling_puts_them(size: tuple[int, int], full: tuple[int, int]) -> None:
    grid = torch.arange(full[0] * full[1]).reshape(1, *full) % 7
    labels = torch.where(grid < 2, 255, grid)
    rows = [round(i * (full[0] - 1) / max(size[0] - 1, 1) + 1e-9) for i in range(size[0])]
    columns = [round(j * (full[1] - 1) / max(size[1] - 1, 1) + 1e-9) for j in range(size[1])]
    expected = [[bool(labels[0, i, j] != 255) for j in columns] for i in rows]
    assert valid_positions(labels, size)[0].tolist() == expected


def test_valid_positions_agree_with_bilinear_upsampling() -> None:
    mark = torch.zeros(1, 1, 5, 5)
    mark[..., 2, 3] = 1
    peak = F.interpolate(mark, (17, 17), mode="bilinear", align_corners=True).flatten().argmax()
    labels = torch.zeros(1, 17, 17, dtype=torch.long)
    labels.view(-1)[peak] = 255
    assert (~valid_positions(labels, (5, 5))).nonzero().tolist() == [[0, 2, 3]]


def test_valid_positions_take_bytes() -> None:
    labels = torch.tensor([[[0, 255], [254, 255]]], dtype=torch.uint8)
    assert valid_positions(labels, (2, 2)).tolist() == [[[True, False], [True, False]]]


def test_included_means_all_count() -> None:
    labels = torch.full((1, 4, 4), 255)
    assert counted(torch.zeros(1, 2, 2, 2), labels, "include") is None


def test_resolution_upsamples_to_the_labels_or_not() -> None:
    logits, labels = torch.randn(2, 3, 4, 5), torch.zeros(2, 13, 17, dtype=torch.long)
    assert at_resolution(logits, labels, "logits") is logits
    assert at_resolution(logits, labels, "input").shape == (2, 3, 13, 17)
