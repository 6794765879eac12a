"""The results of a grid of runs, as the report uses them; :mod:`icsd.reporting.reading` loads them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icsd.records import CostRecord, MetricsRecord, TrainRecord

ALONE = "none"
"""The method of a student that is trained without distillation."""
KD = "kd"


@dataclass(frozen=True, eq=False)
class SimilarityHistory:
    """A student's inter-class similarity on a few fixed images while it was training."""

    epochs: NDArray[np.int64]
    """[E]; 0 is before training."""
    student: NDArray[np.float64]
    """[E, classes, classes]."""
    teacher: NDArray[np.float64]
    """[classes, classes], on the same images."""
    distance: NDArray[np.float64]
    """[E]."""


@dataclass(frozen=True, eq=False)
class Run:
    """One trained network; an attribute is None if its file is missing."""

    method: str
    student: str
    seed: int
    metrics: MetricsRecord | None
    training: TrainRecord | None
    history: pd.DataFrame | None
    cost: CostRecord | None
    confusion: NDArray[np.int64] | None
    """[images, classes, classes], rows = truth, columns = prediction."""
    ids: tuple[str, ...]
    """Names of the images, in the order of ``confusion``."""
    ics: NDArray[np.float64] | None
    """[classes, classes], the network's inter-class similarity matrix, mean over images."""
    panels: Path | None
    similarity: SimilarityHistory | None = None
    """None where ``monitor.similarity_every`` is 0, which is not a gap."""


@dataclass(frozen=True)
class Panels:
    """A few images with labels and predictions, all of one size."""

    ids: tuple[str, ...]
    images: NDArray[np.uint8]
    """[K, H, W, 3]."""
    labels: NDArray[np.uint8]
    """[K, H, W]."""
    predictions: NDArray[np.uint8]
    """[K, H, W]."""


@dataclass(frozen=True, eq=False)
class Results:
    """The whole grid of one dataset."""

    dataset: str
    methods: tuple[str, ...]
    students: tuple[str, ...]
    seeds: tuple[int, ...]
    teacher: Run
    runs: dict[tuple[str, str, int], Run]
    """(student, method, seed) -> run, in the grid's order."""
    gaps: tuple[str, ...] = field(default=())
    """Paths below the root that were expected and are missing."""

    def of(self, student: str, method: str) -> list[Run]:
        """The evaluated runs of a student and method, by seed; empty for a gap or outside the grid."""
        runs = (self.runs.get((student, method, seed)) for seed in self.seeds)
        return [run for run in runs if run is not None and run.metrics is not None]

    def evaluated(self) -> Iterator[Run]:
        """The teacher and then every run of the grid that has metrics."""
        return (run for run in (self.teacher, *self.runs.values()) if run.metrics is not None)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the dataset's classes, from the first evaluated run; empty when there is none."""
        return next((run.metrics.classes for run in self.evaluated() if run.metrics), ())
