"""What the loop knows of monitoring: one interface, and the monitor that does nothing.

A monitor looks at a student while it learns. It may add columns to history.csv, and must change neither a
weight nor the state of a random generator: with any monitor, the trained weights are bit-identical.
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
        """Before the first backward pass of a step of the epoch (from 0), whose graph must stay usable."""

    def after_steps(self, fabric: Fabric) -> dict[str, float]:
        """Columns from the steps of the epoch that has just been trained."""

    def after_epoch(self, finished: int) -> dict[str, float]:
        """Columns from the student after ``finished`` epochs; also called before the first, with 0."""

    def arrays(self) -> dict[str, Array]:
        """What was recorded besides the columns: the content of similarity.npz, or empty."""

    def state_dict(self) -> dict[str, Any]:
        """What it takes to resume after the last finished epoch."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from ``state_dict``; an empty state changes nothing."""


class NoMonitor:
    """Watches nothing."""

    def before_backward(
        self, fabric: Fabric, step: int, terms: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> None:
        """Nothing."""

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
        """Nothing."""
