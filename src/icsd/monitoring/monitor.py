"""The monitor of a student: loss health every epoch, similarity to the teacher every few epochs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.monitoring.health import HealthMeter, keep_compiled_graphs, measured_steps
from icsd.monitoring.probe import SimilarityHistory, SimilarityProbe

Array = NDArray[np.generic]
OnSimilarity = Callable[[int, Tensor, Tensor, float], None]
"""Takes the number of finished epochs, the student's and the teacher's matrix [C, C], and their distance."""


class StudentMonitor:
    """Implements ``icsd.training.monitor.Monitor``.

    Args:
        student: The network that is trained.
        epochs: Epochs of the whole run.
        steps: Steps of an epoch.
        health_steps: Steps per epoch in which the gradients of the loss terms are compared; 0 for none.
        probe: Measures the similarity; None to skip it, as on all ranks except the first.
        similarity_every: Epochs between two measurements; the state before training and the last epoch are
            always measured.
        on_similarity: Called with each measurement.
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        epochs: int,
        steps: int,
        health_steps: int = 0,
        probe: SimilarityProbe | None = None,
        similarity_every: int = 1,
        on_similarity: OnSimilarity | None = None,
    ) -> None:
        self._student = student
        self._epochs = epochs
        self._health_steps = measured_steps(steps, health_steps)
        self._health = HealthMeter(student, self._health_steps)
        self._probe = probe
        self._similarity_every = similarity_every
        self._on_similarity = on_similarity
        self._similarity = SimilarityHistory()
        if health_steps:
            keep_compiled_graphs()

    def before_backward(
        self, fabric: Fabric, step: int, terms: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> None:
        """Compare the gradients of the terms if this step is to be measured."""
        self._health.measure(fabric, step, terms, weights)

    def after_steps(self, fabric: Fabric) -> dict[str, float]:
        """Columns ``health/…``: means over the epoch's measured steps."""
        row = self._health.row()
        self._health = HealthMeter(self._student, self._health_steps)
        return row

    def after_epoch(self, finished: int) -> dict[str, float]:
        """Column ``similarity/distance`` if the similarity is measured after this epoch."""
        if self._probe is None or self._probe.teacher_matrix is None or not self._is_due(finished):
            return {}
        matrix, distance = self._probe.measure(self._student)
        self._similarity.add(finished, matrix, distance)
        if self._on_similarity is not None:
            self._on_similarity(finished, matrix, self._probe.teacher_matrix, distance)
        return {"similarity/distance": distance}

    def _is_due(self, finished: int) -> bool:
        return finished % self._similarity_every == 0 or finished == self._epochs

    def arrays(self) -> dict[str, Array]:
        """The student's matrices during training; docs/results.md describes the arrays."""
        history = self._similarity
        if self._probe is None or self._probe.teacher_matrix is None or not history.epochs:
            return {}
        return {
            "epochs": np.array(history.epochs, np.int64),
            "student": torch.stack(history.matrices).numpy(),
            "teacher": self._probe.teacher_matrix.numpy(),
            "distance": np.array(history.distances),
            "ids": np.array(self._probe.ids),
        }

    def state_dict(self) -> dict[str, Any]:
        """The similarity history. Loss health has no state between epochs."""
        return asdict(self._similarity)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue a saved similarity history."""
        self._similarity = SimilarityHistory(**state)
