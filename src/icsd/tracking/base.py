"""What a stage knows of experiment tracking: one interface, and the tracker that does nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """What a network needs to become a model that predicts from images.

    Attributes:
        name: The model's name in MLflow.
        example: An image that the network was made for, uint8 [H, W, 3]; other sizes work too.
        input_scale: Size of the image that the network sees, relative to the image as read.
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


class Tracker(Protocol):
    """The record of one run. No call fails or waits because the tracking server or the disk does.

    As a context manager it ends the run: FINISHED, FAILED after an exception, KILLED after Ctrl-C or SIGTERM.
    """

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow; None while there is none (tracking off, or the server not reached yet).

        It waits a little for a server that has not said it yet.
        """

    @property
    def key(self) -> str | None:
        """What leads to the run as long as its id is unknown; None with tracking off."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names, long values are cut."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics after ``step`` epochs. Logging the same point again adds nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""

    def dataset(self, name: str, *, digest: str, source: str, context: str) -> None:
        """Record which data the run used, and for what (``context``: "training", "validation", "testing")."""

    def image(self, picture: "Figure | npt.NDArray[np.uint8]", *, key: str, step: int) -> None:
        """Record a picture at a step: a figure, or uint8 pixels [H, W], [H, W, 3] or [H, W, 4].

        Logged again at the same step, it replaces the first. MLflow's pages open at step 0 and stay empty
        there unless a picture was recorded for that step.
        """

    def artifact(self, path: Path, *, folder: str = "") -> None:
        """Store a copy of a file or a folder among the run's artifacts, under ``folder``."""

    def text(self, content: str, name: str) -> None:
        """Store a text among the run's artifacts."""

    def model(self, network: "nn.Module", spec: ModelSpec) -> None:
        """Store a network as a program from RGB images, uint8 [B, H, W, 3], to logits [B, C, H, W].

        Args:
            network: Its forward returns a dict of taps with ``logits``.
            spec: How images become its input, and what the model is called.
        """

    def rewind(self, step: int) -> None:
        """Training resumes after ``step`` epochs: drop later points that were not sent yet."""

    def close(self, status: Status = "FINISHED") -> None:
        """End the run. What does not reach the server soon is sent by a later process."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class NullTracker:
    """A ``Tracker`` that records nothing: tracking is off, or another rank records."""

    run_id = key = None

    def _ignore(self, *_: object, **__: object) -> None:
        pass

    params = log = tags = dataset = image = artifact = text = model = rewind = close = __exit__ = _ignore

    def __enter__(self) -> Self:
        return self
