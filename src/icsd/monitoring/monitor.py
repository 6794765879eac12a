"""The monitor of a student: loss health in every epoch, similarity to the teacher every few epochs."""

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
"""Takes finished epochs, the student's matrix [C, C], the teacher's, and their distance."""


class StudentMonitor:
    """Implements ``icsd.training.monitor.Monitor``.

    Args:
        student: The network that is trained.
        epochs: Epochs of the whole run.
        steps: Steps of an epoch.
        health_steps: How many of them compare the gradients of the loss terms; 0 for none.
        probe: Measures the similarity; None to leave it out, as on all ranks but the first.
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
        """Compare the gradients of the terms if this is one of the steps for it."""
        self._health.measure(fabric, step, terms, weights)

    def after_steps(self, fabric: Fabric) -> dict[str, float]:
        """Columns ``health/…``: means over the epoch's measured steps."""
        row = self._health.row()
        self._health = HealthMeter(self._student, self._health_steps)
        return row

    def after_epoch(self, finished: int) -> dict[str, float]:
        """Column ``similarity/distance`` where the similarity is due."""
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
        """The student's matrices over its training; docs/results.md describes the arrays."""
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
        """The similarity measured so far. Loss health begins anew in every epoch."""
        return asdict(self._similarity)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue a former similarity history."""
        self._similarity = SimilarityHistory(**state)
