"""What the stages know of experiment tracking: one interface, and the tracker that does nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(Protocol):
    """The record of one run. No call fails because the tracking server does.

    As a context manager it ends the run: FINISHED, FAILED after an exception, KILLED after Ctrl-C or SIGTERM.
    """

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow; None while there is none (tracking off, or the server not reached yet)."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names, long values are shortened."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics at a step (the number of finished epochs). Repeating a point adds nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""

    def dataset(self, name: str, *, digest: str, source: str, context: str) -> None:
        """Record which data the run saw, and for what (``context``: "training", "validation", "testing")."""

    def image(self, picture: "Figure | npt.NDArray[np.uint8]", *, key: str, step: int) -> None:
        """Record a picture at a step: a figure, or uint8 pixels [H, W], [H, W, 3] or [H, W, 4].

        MLflow's pages open at step 0 and show nothing there unless a picture was recorded for it.
        """

    def figure(self, figure: "Figure", file: str) -> None:
        """Store a figure as the artifact ``file`` (its suffix names the format)."""

    def artifact(self, path: Path, *, folder: str = "") -> None:
        """Store a copy of a file or a folder among the run's artifacts, under ``folder``."""

    def model(
        self,
        network: "nn.Module",
        *,
        name: str,
        image: npt.NDArray[np.uint8],
        input_scale: float,
        mean: Sequence[float],
        std: Sequence[float],
        metadata: Mapping[str, Any],
    ) -> None:
        """Store a network as a program from RGB images, uint8 [B, H, W, 3], to logits [B, C, H, W].

        Args:
            network: Its forward returns a dict of taps with ``logits``.
            name: The model's name in MLflow.
            image: uint8 [H, W, 3], one that it was made for: the input example. Other sizes work too.
            input_scale: Size of an image as the network sees it, relative to its own.
            mean: Of the channels of images in 0..1; subtracted by the program.
            std: Of the channels of images in 0..1; the program divides by it.
            metadata: Kept with the model: its classes, and so on.
        """

    def rewind(self, step: int) -> None:
        """Training continues from a checkpoint after ``step`` epochs: forget later points not yet sent."""

    def close(self, status: Status = "FINISHED") -> None:
        """End the run and send what is left."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class NullTracker:
    """Tracks nothing: for tests, ``enabled=False``, and all ranks but the first."""

    @property
    def run_id(self) -> str | None:
        """None."""
        return None

    def params(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing."""

    def dataset(self, name: str, *, digest: str, source: str, context: str) -> None:
        """Nothing."""

    def image(self, picture: "Figure | npt.NDArray[np.uint8]", *, key: str, step: int) -> None:
        """Nothing."""

    def figure(self, figure: "Figure", file: str) -> None:
        """Nothing."""

    def artifact(self, path: Path, *, folder: str = "") -> None:
        """Nothing."""

    def model(
        self,
        network: "nn.Module",
        *,
        name: str,
        image: npt.NDArray[np.uint8],
        input_scale: float,
        mean: Sequence[float],
        std: Sequence[float],
        metadata: Mapping[str, Any],
    ) -> None:
        """Nothing."""

    def rewind(self, step: int) -> None:
        """Nothing."""

    def close(self, status: Status = "FINISHED") -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
