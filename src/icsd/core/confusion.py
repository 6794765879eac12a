"""Counting which class was taken for which, on the device the tensors are on."""

from jaxtyping import Int, Integer
from torch import Tensor

from icsd.core.labels import IGNORE


def confusion_counts(
    prediction: Integer[Tensor, "*pixels"], labels: Integer[Tensor, "*pixels"], num_classes: int
) -> Int[Tensor, "C C"]:
    """Exact int64 counts of the pixels that have a class: rows are the truth, columns the prediction.

    Args:
        prediction: Class ids, of any shape.
        labels: Class ids, or 255 where nothing is counted.
        num_classes: C.
    """
    valid = labels != IGNORE
    pairs = labels[valid].long() * num_classes + prediction[valid].long()
    return pairs.bincount(minlength=num_classes**2).reshape(num_classes, num_classes)
