import pytest
import torch

from icsd.core.confusion import confusion_counts


def test_counts_by_hand() -> None:
    labels = torch.tensor([[0, 0, 1], [1, 2, 255]])
    prediction = torch.tensor([[0, 1, 1], [1, 0, 2]])
    assert confusion_counts(prediction, labels, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_counts_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 7, (4, 9, 11), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = 255
    prediction = torch.randint(0, 7, labels.shape, generator=generator)
    expected = torch.zeros(7, 7, dtype=torch.int64)
    for truth, guess in zip(labels.flatten().tolist(), prediction.flatten().tolist(), strict=True):
        if truth != 255:
            expected[truth, guess] += 1
    assert torch.equal(confusion_counts(prediction, labels, 7), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_bytes_do_not_overflow(dtype: torch.dtype) -> None:
    labels = torch.tensor([18, 18, 255], dtype=dtype)
    counts = confusion_counts(torch.tensor([18, 17, 0], dtype=dtype), labels, 19)
    assert [int(counts[18, 18]), int(counts[18, 17]), int(counts.sum())] == [1, 1, 2]


def test_nothing_to_count() -> None:
    labels = torch.full((2, 3), 255)
    assert not confusion_counts(torch.zeros_like(labels), labels, 4).any()


@pytest.mark.parametrize(("label", "guess"), [(3, 0), (200, 0), (2, 3)])
def test_a_class_that_there_is_not_is_an_error(label: int, guess: int) -> None:
    with pytest.raises(RuntimeError):
        confusion_counts(torch.tensor([[0, guess]]), torch.tensor([[0, label]]), 3)
