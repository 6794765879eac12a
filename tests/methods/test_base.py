import torch

from icsd.methods.base import at_resolution, counted


def test_included_means_all_count() -> None:
    labels = torch.full((1, 4, 4), 255)
    assert counted(torch.zeros(1, 2, 2, 2), labels, "include") is None


def test_resolution_upsamples_to_the_labels_or_not() -> None:
    logits, labels = torch.randn(2, 3, 4, 5), torch.zeros(2, 13, 17, dtype=torch.long)
    assert at_resolution(logits, labels, "logits") is logits
    assert at_resolution(logits, labels, "input").shape == (2, 3, 13, 17)
