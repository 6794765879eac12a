"""Confusion counts, computed on the tensors' own device."""

from jaxtyping import Int, Integer
from torch import Tensor

from icsd.core.labels import IGNORE


def confusion_counts(
    prediction: Integer[Tensor, "*pixels"], labels: Integer[Tensor, "*pixels"], num_classes: int
) -> Int[Tensor, "C C"]:
    """Exact int64 counts of the pixels that have a class: rows are the truth, columns the prediction.

    Args:
        prediction: Class ids, of any shape.
        labels: Class ids; 255 is ignored.
        num_classes: C.
    """
    # Ignored pixels are counted in an extra first row: filtering them out would copy all the others.
    rows = labels.int().add_(1).masked_fill_(labels == IGNORE, 0)
    pairs = rows.mul_(num_classes).add_(prediction.int())
    counts = pairs.flatten().bincount(minlength=(num_classes + 1) * num_classes)
    return counts.view(num_classes + 1, num_classes)[1:]
