"""Reads the expected grid of runs from disk: a missing file is a gap, a malformed one an error."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icsd.arrays import Layout, read_arrays
from icsd.errors import UserError
from icsd.records import CostRecord, DivergedRecord, MetricsRecord, TrainRecord, read_record
from icsd.reporting.results import Panels, Results, Run, SimilarityHistory
from icsd.runs import TEACHER, RunKey, advice_for

Array = NDArray[np.generic]
Part = TypeVar("Part")
_CONFUSION: Layout = {"confusion": ("integer", 3), "ids": ("text", 1)}
_SIMILARITY: Layout = {
    "epochs": ("integer", 1),
    "student": ("real", 3),
    "teacher": ("real", 2),
    "distance": ("real", 1),
}
_PANELS: Layout = {
    "ids": ("text", 1),
    "images": ("integer", 4),
    "labels": ("integer", 3),
    "predictions": ("integer", 3),
}


def load_results(
    root: Path, *, dataset: str, methods: Sequence[str], students: Sequence[str], seeds: Sequence[int]
) -> Results:
    """Reads the expected files below ``root`` (runs/, costs/, results/); never looks for others.

    Raises:
        UserError: A file is malformed or belongs to another run, or runs were evaluated on different images.
    """
    reader = _Reader(root, dataset)
    teacher = reader.run(TEACHER, None, None)
    runs = {
        (student, method, seed): reader.run(method, student, seed)
        for student in students
        for method in methods
        for seed in seeds
    }
    results = Results(
        dataset, tuple(methods), tuple(students), tuple(seeds), teacher, runs, tuple(reader.gaps)
    )
    _require_same_images(results)
    return results


def read_panels(path: Path) -> Panels:
    """Read panels.npz: images, labels and predictions.

    Raises:
        UserError: The file is malformed.
    """
    arrays = read_arrays(path, _PANELS)
    images, labels, predictions = (arrays[name] for name in ("images", "labels", "predictions"))
    if images.shape[:3] != labels.shape or predictions.shape != labels.shape:
        raise UserError(
            f"{path}: images {images.shape}, labels {labels.shape} and predictions {predictions.shape} differ"
            f" in size; {advice_for(path)}"
        )
    ids = tuple(str(name) for name in arrays["ids"])
    return Panels(ids, images.astype(np.uint8), labels.astype(np.uint8), predictions.astype(np.uint8))


class _Reader:
    """Reads runs and collects the paths of missing files."""

    def __init__(self, root: Path, dataset: str) -> None:
        self.root, self.dataset = root, dataset
        self.gaps: list[str] = []

    def run(self, method: str, student: str | None, seed: int | None) -> Run:
        key = RunKey(self.dataset, method, student or TEACHER, 0 if seed is None else seed)
        results = self.root / key.results
        if (results / "diverged.json").exists():
            read_record(results / "diverged.json", DivergedRecord)
            return self._diverged(key)
        metrics = self._part(results / "metrics.json", lambda path: read_record(path, MetricsRecord))
        if metrics is not None:
            self._require_own(results / "metrics.json", metrics, method=method, student=student, seed=seed)
        training, history, cost = self._training(key)
        confusion = self._part(results / "confusion.npz", lambda path: read_arrays(path, _CONFUSION))
        role = "teacher" if student is None else "student"
        ics = self._part(results / "ics.npz", lambda path: read_arrays(path, {role: ("real", 2)}))
        panels = self._part(results / "panels.npz", lambda path: path if path.stat() else None)
        if metrics is not None:
            size = len(metrics.classes)
            _require_shape(
                results / "confusion.npz", confusion, "confusion", (metrics.num_images, size, size)
            )
            _require_shape(results / "confusion.npz", confusion, "ids", (metrics.num_images,))
            _require_shape(results / "ics.npz", ics, role, (size, size))
        return Run(
            method=method,
            student=student or (metrics.student if metrics else TEACHER),
            seed=seed if seed is not None else (metrics.seed if metrics else 0),
            metrics=metrics,
            training=training,
            history=history,
            cost=cost,
            confusion=None if confusion is None else confusion["confusion"].astype(np.int64),
            ids=() if confusion is None else tuple(str(name) for name in confusion["ids"]),
            ics=None if ics is None else ics[role].astype(np.float64),
            panels=panels,
            similarity=_read_similarity(self.root / key.folder / "similarity.npz"),
        )

    def _diverged(self, key: RunKey) -> Run:
        """A student whose training diverged: one gap, and the files that its training left."""
        self.gaps.append(f"{key.results.as_posix()}: the training diverged, its weights are not finite")
        training, history, cost = self._training(key)
        return Run(
            method=key.method,
            student=key.network,
            seed=key.seed,
            metrics=None,
            training=training,
            history=history,
            cost=cost,
            confusion=None,
            ids=(),
            ics=None,
            panels=None,
        )

    def _training(self, key: RunKey) -> tuple[TrainRecord | None, pd.DataFrame | None, CostRecord | None]:
        return (
            self._part(self.root / key.folder / "train.json", lambda path: read_record(path, TrainRecord)),
            self._part(self.root / key.folder / "history.csv", _read_history),
            self._part(self.root / key.cost, lambda path: read_record(path, CostRecord)),
        )

    def _part(self, path: Path, read: Callable[[Path], Part]) -> Part | None:
        try:
            return read(path)
        except FileNotFoundError:
            self.gaps.append(path.relative_to(self.root).as_posix())
            return None

    def _require_own(
        self, path: Path, metrics: MetricsRecord, *, method: str, student: str | None, seed: int | None
    ) -> None:
        expected = {"dataset": self.dataset, "method": method, "student": student, "seed": seed}
        for name, value in expected.items():
            actual = getattr(metrics, name)
            if value is not None and actual != value:
                raise UserError(f"{path}: {name} is {actual!r}, expected {value!r}; {advice_for(path)}")


def _read_history(path: Path) -> pd.DataFrame:
    """history.csv with every column as float64 and epoch as int64."""
    content = path.read_bytes()  # a missing file raises here, and is a gap
    try:
        history = pd.read_csv(io.BytesIO(content)).astype(float) if content.strip() else pd.DataFrame()
        if "epoch" not in history.columns:
            raise ValueError("column epoch is missing")
        return history.astype({"epoch": int})
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error}; {advice_for(path)}") from error


def _read_similarity(path: Path) -> SimilarityHistory | None:
    if not path.exists():
        return None
    arrays = read_arrays(path, _SIMILARITY)
    epochs, student, teacher, distance = (arrays[name] for name in _SIMILARITY)
    if student.shape != (len(epochs), *teacher.shape) or distance.shape != epochs.shape:
        raise UserError(
            f"{path}: epochs {epochs.shape}, student {student.shape}, teacher {teacher.shape} and distance"
            f" {distance.shape} differ in size; {advice_for(path)}"
        )
    return SimilarityHistory(
        epochs.astype(np.int64),
        student.astype(np.float64),
        teacher.astype(np.float64),
        distance.astype(np.float64),
    )


def _require_shape(path: Path, arrays: dict[str, Array] | None, name: str, shape: tuple[int, ...]) -> None:
    if arrays is not None and arrays[name].shape != shape:
        raise UserError(
            f"{path}: array {name} has shape {arrays[name].shape}, metrics.json says {shape};"
            f" {advice_for(path)}"
        )


def _require_same_images(results: Results) -> None:
    """Paired comparisons need every network to be evaluated on the same images and classes."""
    measured = [run for run in results.evaluated() if run.confusion is not None]
    for run in measured[1:]:
        if _measured_on(run) != _measured_on(measured[0]):
            raise UserError(
                f"results/{results.dataset}: {_name(run)} was evaluated on other images or classes than"
                f" {_name(measured[0])}; run evaluate again"
            )


def _measured_on(run: Run) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return run.ids, run.metrics.classes if run.metrics else ()


def _name(run: Run) -> str:
    return f"{run.method} {run.student}, seed {run.seed},"
