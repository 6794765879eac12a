"""The expected grid of runs, read from disk; what is missing is a gap, what is malformed is an error."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icsd.errors import UserError
from icsd.records import CostRecord, MetricsRecord, TrainRecord, read_record
from icsd.runs import TEACHER, RunKey

ALONE = "none"
KD = "kd"

Array = NDArray[np.generic]
Part = TypeVar("Part")


@dataclass(frozen=True, eq=False)
class Course:
    """A student's inter-class similarity on a few fixed images while it learnt."""

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
    """One trained network; a part is None when its file is missing."""

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
    ics: NDArray[np.float64] | None
    """[classes, classes], the network's own matrix, mean over images."""
    panels: Path | None
    similarity: Course | None = None
    """None, and no gap, where ``monitor.similarity_every`` is 0."""


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
        """The evaluated runs of one cell, by seed; empty for a gap or outside the grid."""
        runs = (self.runs.get((student, method, seed)) for seed in self.seeds)
        return [run for run in runs if run is not None and run.metrics is not None]

    def evaluated(self) -> Iterator[Run]:
        """The teacher and then every run of the grid that has metrics."""
        return (run for run in (self.teacher, *self.runs.values()) if run.metrics is not None)


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
    """The images of panels.npz.

    Raises:
        UserError: The file is malformed.
    """
    arrays = _read_npz(path, ("ids", "images", "labels", "predictions"))
    images, labels, predictions = (arrays[name] for name in ("images", "labels", "predictions"))
    if images.shape[:3] != labels.shape or predictions.shape != labels.shape:
        raise UserError(
            f"{path}: images {images.shape}, labels {labels.shape} and predictions {predictions.shape} differ"
            " in size; run evaluate again"
        )
    ids = tuple(str(name) for name in arrays["ids"])
    return Panels(ids, images.astype(np.uint8), labels.astype(np.uint8), predictions.astype(np.uint8))


class _Reader:
    """Reads runs and remembers what was missing."""

    def __init__(self, root: Path, dataset: str) -> None:
        self.root, self.dataset = root, dataset
        self.gaps: list[str] = []

    def run(self, method: str, student: str | None, seed: int | None) -> Run:
        key = RunKey(self.dataset, method, student or TEACHER, 0 if seed is None else seed)
        results, runs = self.root / key.results, self.root / key.folder
        if (results / "diverged.json").exists():
            return self._diverged(key)
        metrics = self._part(results / "metrics.json", lambda path: read_record(path, MetricsRecord))
        if metrics is not None:
            self._require_own(results / "metrics.json", metrics, method=method, student=student, seed=seed)
        training = self._part(runs / "train.json", lambda path: read_record(path, TrainRecord))
        history = self._part(runs / "history.csv", _read_history)
        cost = self._part(self.root / key.cost, lambda path: read_record(path, CostRecord))
        confusion = self._part(results / "confusion.npz", lambda path: _read_npz(path, ("confusion", "ids")))
        ics_name = "teacher" if student is None else "student"
        ics = self._part(results / "ics.npz", lambda path: _read_npz(path, (ics_name,)))
        panels = self._part(results / "panels.npz", lambda path: path if path.stat() else None)
        if metrics is not None:
            counts, num_classes = metrics.num_images, len(metrics.classes)
            _require_shape(
                results / "confusion.npz", confusion, "confusion", (counts, num_classes, num_classes)
            )
            _require_shape(results / "ics.npz", ics, ics_name, (num_classes, num_classes))
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
            ics=None if ics is None else ics[ics_name].astype(np.float64),
            panels=panels,
            similarity=_read_course(runs / "similarity.npz"),
        )

    def _diverged(self, key: RunKey) -> Run:
        """A student without a score: one gap, whatever of its training there is to show."""
        self.gaps.append(f"{key.results.as_posix()}: the training diverged, its weights are not finite")
        runs = self.root / key.folder
        return Run(
            method=key.method,
            student=key.network,
            seed=key.seed,
            metrics=None,
            training=self._part(runs / "train.json", lambda path: read_record(path, TrainRecord)),
            history=self._part(runs / "history.csv", _read_history),
            cost=self._part(self.root / key.cost, lambda path: read_record(path, CostRecord)),
            confusion=None,
            ids=(),
            ics=None,
            panels=None,
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
            found = getattr(metrics, name)
            if value is not None and found != value:
                raise UserError(f"{path}: {name} is {found!r}, expected {value!r}; run evaluate again")


def _read_history(path: Path) -> pd.DataFrame:
    """history.csv with every column as float64 and epoch as int64."""
    text = path.read_text(encoding="utf-8")  # a missing file is a gap, told apart from an unreadable one here
    try:
        history = pd.read_csv(path).astype(float) if text.strip() else pd.DataFrame()
    except ValueError as error:
        raise UserError(f"{path}: {error}; delete the run's folder and train it again") from error
    if "epoch" not in history.columns:
        raise UserError(f"{path}: column epoch is missing; delete the run's folder and train it again")
    return history.astype({"epoch": int})


def _read_course(path: Path) -> Course | None:
    if not path.exists():
        return None
    arrays = _read_npz(path, ("epochs", "student", "teacher", "distance"))
    epochs, student, teacher, distance = (
        arrays[name] for name in ("epochs", "student", "teacher", "distance")
    )
    if student.shape != (len(epochs), *teacher.shape) or distance.shape != epochs.shape:
        raise UserError(
            f"{path}: epochs {epochs.shape}, student {student.shape}, teacher {teacher.shape} and distance"
            f" {distance.shape} differ in size; delete the run's folder and train it again"
        )
    return Course(
        epochs.astype(np.int64),
        student.astype(np.float64),
        teacher.astype(np.float64),
        distance.astype(np.float64),
    )


def _read_npz(path: Path, names: Sequence[str]) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [name for name in names if name not in arrays]
            if missing:
                raise UserError(f"{path}: array {missing[0]} is missing; run evaluate again")
            return {name: arrays[name] for name in names}
    except (BadZipFile, EOFError) as error:
        raise UserError(f"{path}: not a readable npz file ({error}); run evaluate again") from error
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not a readable npz file ({error}); run evaluate again") from error


def _require_shape(path: Path, arrays: dict[str, Array] | None, name: str, shape: tuple[int, ...]) -> None:
    if arrays is not None and arrays[name].shape != shape:
        raise UserError(
            f"{path}: array {name} has shape {arrays[name].shape}, metrics.json says {shape};"
            " run evaluate again"
        )


def _require_same_images(results: Results) -> None:
    """Paired comparisons need every network to be evaluated on the same images and classes."""
    first: Run | None = None
    for run in results.evaluated():
        assert run.metrics is not None
        if run.confusion is None:
            continue
        if first is None:
            first = run
            continue
        assert first.metrics is not None
        if (run.ids, run.metrics.classes) != (first.ids, first.metrics.classes):
            raise UserError(
                f"results/{results.dataset}: {_name(run)} was evaluated on other images or classes than"
                f" {_name(first)}; run evaluate again"
            )


def _name(run: Run) -> str:
    return f"{run.method} {run.student}, seed {run.seed},"
