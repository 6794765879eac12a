import pytest
import torch

from icsd.core import predictions
from icsd.core.logits import upsample
from icsd.core.predictions import predicted_classes


@pytest.mark.parametrize("values", [1, 10**9])
@pytest.mark.parametrize("size", [(7, 9), (20, 31)])
def test_classes_are_those_of_all_logits_at_once(
    monkeypatch: pytest.MonkeyPatch, values: int, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(predictions, "_CACHED", values)
    logits = torch.randn(2, 13, 7, 9, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    assert torch.equal(predicted_classes(logits, size), upsample(logits, size).argmax(1))


@pytest.mark.parametrize("values", [1, 10**9])
def test_of_equal_logits_the_first_class_wins(monkeypatch: pytest.MonkeyPatch, values: int) -> None:
    monkeypatch.setattr(predictions, "_CACHED", values)
    logits = torch.tensor([0.0, 2.0, 1.0, 2.0, 2.0]).view(1, 5, 1, 1).expand(1, 5, 3, 4)
    assert (predicted_classes(logits, (3, 4)) == 1).all()


def test_large_images_are_upsampled_class_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        seen.append(logits.shape[1])
        return upsample(logits, size)

    monkeypatch.setattr(predictions, "upsample", counted)
    predicted_classes(torch.randn(1, 3, 4, 4), (400, 400))
    predicted_classes(torch.randn(1, 3, 4, 4), (8, 8))
    assert seen == [1, 1, 1, 3]
