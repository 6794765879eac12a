"""The loop's interface to monitoring, and a monitor that does nothing.

A monitor observes a student during training. It may add columns to history.csv, but must change neither a
weight nor the state of a random generator: the trained weights are bit-identical with any monitor.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.generic]


class Monitor(Protocol):
    """Called by the loop at fixed points, on every rank."""

    def before_backward(
        self, fabric: Fabric, step: int, terms: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> None:
        """Called before a step's first backward pass, which needs the graph; ``step`` is from 0 per epoch."""

    def after_steps(self, fabric: Fabric) -> dict[str, float]:
        """Columns computed from the steps of the epoch that was just trained."""

    def after_epoch(self, finished: int) -> dict[str, float]:
        """Columns computed from the student after ``finished`` epochs; called with 0 before the first."""

    def arrays(self) -> dict[str, Array]:
        """Other recorded arrays: the content of similarity.npz, or empty."""

    def state_dict(self) -> dict[str, Any]:
        """State needed to resume after the last finished epoch."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from ``state_dict``; an empty state changes nothing."""


class NoMonitor:
    """A monitor that does nothing."""

    def before_backward(
        self, fabric: Fabric, step: int, terms: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> None:
        """Do nothing."""

    def after_steps(self, fabric: Fabric) -> dict[str, float]:
        """No columns."""
        return {}

    def after_epoch(self, finished: int) -> dict[str, float]:
        """No columns."""
        return {}

    def arrays(self) -> dict[str, Array]:
        """No arrays."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """No state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""
