"""The types that stages use with a tracker, and the tracker that records nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """Specification for turning a network into a model that predicts from images.

    Attributes:
        name: The model's name in MLflow.
        example: An image of typical size, uint8 [H, W, 3]; other sizes work too.
        input_scale: Size of the network's input, relative to the image as read.
        mean: Per channel, for pixel values in 0..1; the model subtracts it.
        std: Per channel, for pixel values in 0..1; the model divides by it.
        metadata: JSON values stored with the model: its classes, for instance.
    """

    name: str
    example: npt.NDArray[np.uint8]
    input_scale: float
    mean: Sequence[float]
    std: Sequence[float]
    metadata: Mapping[str, Any]


class NullTracker:
    """Same interface as ``MlflowTracker``, but records nothing: tracking is off, or another rank records."""

    run_id = key = None

    def _ignore(self, *_: object, **__: object) -> None:
        pass

    params = log = tags = dataset = image = artifact = text = model = rewind = close = __exit__ = _ignore

    def __enter__(self) -> Self:
        return self
