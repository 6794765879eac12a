import pytest
import torch
from torch.nn import functional as F

from icsd.core.labels import IGNORE, UNLABELLED
from icsd.core.logits import cross_entropy, upsample, valid_positions
from icsd.core.supervision import AUXILIARY


@pytest.mark.parametrize(
    ("size", "full"),
    [((3, 5), (9, 17)), ((129, 4), (513, 13)), ((24, 1), (96, 7)), ((4, 4), (4, 4)), ((3, 5), (4, 7))],
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


def test_upsampling_leaves_the_corners_where_they_are() -> None:
    logits = torch.randn(2, 3, 4, 5)
    full = upsample(logits, (13, 17))
    assert full.shape == (2, 3, 13, 17)
    torch.testing.assert_close(full[..., ::12, ::16], logits[..., ::3, ::4])


def test_ce_is_the_mean_over_labelled_pixels_at_their_resolution() -> None:
    logits = torch.randn(2, 5, 4, 4)
    labels = torch.randint(0, 5, (2, 8, 8))
    labels[0, 0] = IGNORE
    full = F.interpolate(logits, (8, 8), mode="bilinear", align_corners=True)
    torch.testing.assert_close(
        cross_entropy(logits, labels), F.cross_entropy(full, labels, ignore_index=IGNORE)
    )


@pytest.mark.parametrize("num_classes", [4, 30], ids=["as a whole", "tile by tile"])
@pytest.mark.parametrize("weighted", [False, True])
def test_ce_does_not_see_pixels_without_a_label_and_distillation_does(
    num_classes: int, weighted: bool
) -> None:
    logits = torch.randn(2, num_classes, 5, 5)
    labels = torch.randint(0, num_classes, (2, 17, 17))
    labels[0, :4] = IGNORE
    weights = torch.rand(num_classes) + 0.5 if weighted else None
    unknown = labels.clone()
    unknown[1] = UNLABELLED
    ignored = labels.clone()
    ignored[1] = IGNORE
    assert torch.equal(cross_entropy(logits, unknown, weights), cross_entropy(logits, ignored, weights))
    for loss in AUXILIARY.values():
        assert torch.equal(loss(logits, unknown), loss(logits, ignored))
    assert valid_positions(unknown, (5, 5))[1].all()
    assert torch.equal(valid_positions(unknown, (5, 5))[0], valid_positions(labels, (5, 5))[0])
    assert cross_entropy(logits, torch.full_like(labels, UNLABELLED), weights) == 0


def test_class_weights_are_those_of_torchs_weighted_mean() -> None:
    logits = torch.randn(2, 5, 8, 8)
    labels = torch.randint(0, 4, (2, 8, 8))  # class 4 is absent
    labels[0, 0] = IGNORE
    weights = torch.tensor([0.5, 3.0, 1.0, 0.01, 7.0])
    torch.testing.assert_close(
        cross_entropy(logits, labels, weights), F.cross_entropy(logits, labels, weights, ignore_index=IGNORE)
    )
    assert cross_entropy(logits, torch.full((2, 8, 8), IGNORE), weights) == 0.0


def test_ce_of_a_batch_without_labels_is_zero_and_has_a_gradient() -> None:
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    value = cross_entropy(logits, torch.full((1, 8, 8), IGNORE))
    value.backward()
    assert value.item() == 0.0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_one_pixel_of_a_light_class_counts_as_it_does_without_weights() -> None:
    logits, labels = torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), IGNORE)
    labels[0, 1, 2] = 2
    weighted = cross_entropy(logits, labels, torch.tensor([1.0, 1.0, 0.25]))
    torch.testing.assert_close(weighted, cross_entropy(logits, labels))
