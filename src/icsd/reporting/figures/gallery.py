"""Chooses the report's figures, makes them from its numbers, and writes their captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from icsd.reporting.figures.canvas import to_png
from icsd.reporting.figures.confusion import confusion
from icsd.reporting.figures.curves import similarity_distance, training_curves
from icsd.reporting.figures.deployment import miou_by_latency
from icsd.reporting.figures.forest import forest
from icsd.reporting.figures.loss_shares import loss_shares, loss_shares_by_epoch, shares_by_epoch
from icsd.reporting.figures.panels import panels
from icsd.reporting.figures.per_class import per_class_iou
from icsd.reporting.figures.scores import miou_by_method
from icsd.reporting.figures.similarity import similarity_matrices
from icsd.reporting.figures.validation import validation_by_method
from icsd.reporting.figures.weights import alw_weights
from icsd.reporting.histories import (
    SHARE,
    SIMILARITY_DISTANCE,
    VALIDATION_MIOU,
    columns_of,
    histories,
    methods_with_changing_weights,
    seed_scores,
    shown_schedule,
)
from icsd.reporting.reading import read_panels
from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.style import LESS, MANY, MORE, method_label, network_label


@dataclass(frozen=True)
class Picture:
    """A figure of the report: file name without suffix, heading, caption, bytes."""

    name: str
    title: str
    caption: str
    png: bytes
    narrow: bytes | None = None
    """The same figure for a phone's narrow screen; only the figure at the page's top has it."""

    @property
    def first(self) -> bool:
        """Whether the page shows the figure without a click."""
        return self.name.startswith(("miou_by_method", "per_class_iou", "panels"))


@dataclass(frozen=True)
class _Student:
    """One student network, the methods to show, and the names and colours of its classes."""

    results: Results
    name: str
    methods: tuple[str, ...]
    """The student alone and the method that the report is about, if they are in the grid."""
    classes: Sequence[str]
    palette: NDArray[np.uint8]

    @property
    def label(self) -> str:
        return network_label(self.name)


def pictures(
    results: Results,
    *,
    comparison: pd.DataFrame,
    decisions: pd.DataFrame,
    per_class: pd.DataFrame,
    deployment: pd.DataFrame,
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    focus: str,
) -> Iterator[Picture]:
    """Every figure for which there are numbers, the most important first.

    Args:
        results: Results of a grid.
        comparison: From :func:`icsd.reporting.tables.comparison.rows`.
        decisions: From :func:`icsd.reporting.tables.decisions.rows`.
        per_class: From :func:`icsd.reporting.tables.per_class.rows`.
        deployment: From :func:`icsd.reporting.tables.deployment.rows`.
        classes: Names of the C classes.
        palette: [C, 3] colours, 0..255.
        focus: The method that the report is about.
    """
    if decisions["delta_mean"].notna().any():
        wide = _picture(
            "differences",  # the page begins with it
            "Difference to the student alone",
            "95 % intervals of the paired difference, the largest first; a full mark is established. The "
            "grey band is what counts as negligible (`report.rope`).",
            forest(decisions),
        )
        yield replace(wide, narrow=to_png(forest(decisions, narrow=True)))
    if comparison["miou_mean"].notna().any():
        yield _picture(
            "miou_by_method",
            "mIoU by method",
            "Dots are single trainings, the upright mark is their mean, the line its 95 % interval. "
            "Intervals may overlap although the paired difference is clear: see Δ in the table.",
            miou_by_method(comparison, seed_scores(results)),
        )
    if len(deployment):
        yield _picture(
            "deployment",  # the page shows it next to its table
            "mIoU against latency",
            "To the left is faster, and above is better. Upright lines are 95 % intervals over the choice of "
            "images, which all points share: whether two of them differ is in the table.",
            miou_by_latency(deployment),
        )
    methods = tuple(method for method in dict.fromkeys((ALONE, focus)) if method in results.methods)
    for name in results.students:
        student = _Student(results, name, methods, classes, palette)
        yield from _per_class(student, per_class, focus=focus)
        history = histories(results, name)
        if len(history):
            yield from _training(student, history, focus=focus)
        yield from _similarity(student)
        yield from _confusion(student)
        yield from _panels(student)


def _per_class(student: _Student, per_class: pd.DataFrame, *, focus: str) -> Iterator[Picture]:
    if per_class.loc[per_class["student"] == student.name, "iou_mean"].notna().any():
        yield _picture(
            f"per_class_iou_{student.name}",
            f"IoU per class, {student.label}",
            "Where a method gains and where it loses; upright black marks are the teacher. "
            "A difference smaller than the spread of the seeds says nothing.",
            per_class_iou(per_class, student=student.name, focus=focus),
        )


def _training(student: _Student, history: pd.DataFrame, *, focus: str) -> Iterator[Picture]:
    yield _picture(
        f"training_curves_{student.name}",
        f"Training, {student.label}",
        "Loss terms are unweighted, so methods that share a term can be compared. The total is what was "
        "minimised: a sum of other terms in every method, so it is given in percent of its first epoch. "
        "Logarithmic where values span a factor of 20.",
        training_curves(history, student=student.name, focus=focus),
    )
    if history["method"].nunique() > MANY and history[VALIDATION_MIOU].notna().any():
        yield _picture(
            f"validation_by_method_{student.name}",
            f"Validation by method, {student.label}",
            "Every method on its own, means over seeds; nothing here is reported or selected on.",
            validation_by_method(history, student=student.name),
        )
    if columns_of(history, SHARE):
        yield _picture(
            f"loss_shares_{student.name}",
            f"What each loss term did, {student.label}",
            "Share of each weighted term in the gradients that the student was trained with, mean over "
            "epochs and seeds. Terms too small for their part of the bar stand on its right.",
            loss_shares(history, student=student.name),
        )
        by_epoch = shares_by_epoch(history, focus=focus)
        if by_epoch:
            yield _picture(
                f"loss_shares_by_epoch_{student.name}",
                f"What each loss term did while training, {student.label}",
                "The same by epoch, of the methods around the one that the report is about.",
                loss_shares_by_epoch(by_epoch, student=student.name),
            )
    if SIMILARITY_DISTANCE in history and history[SIMILARITY_DISTANCE].notna().any():
        yield _picture(
            f"similarity_distance_{student.name}",
            f"Similarity while learning, {student.label}",
            "Mean squared difference of the similarity matrices of student and teacher on a few fixed "
            "images, what ICSD minimises: lower is closer, and closer is not by itself better.",
            similarity_distance(history, student=student.name, focus=focus),
        )
    yield from _weights(student, history, focus=focus)


def _weights(student: _Student, history: pd.DataFrame, *, focus: str) -> Iterator[Picture]:
    """The schedule of one run: that of ``focus``, or of the first method whose weights change."""
    shown = shown_schedule(student.results, student.name, focus)
    if shown and methods_with_changing_weights(history):
        method, shares = shown
        yield _picture(
            f"alw_weights_{student.name}",
            f"Adaptive loss weighting, {student.label}",
            "Weights of the loss terms by epoch, each divided by its λ: where cross-entropy and KD share the "
            "weight, their lines add up to 1.",
            alw_weights(shares, method=method),
        )


def _similarity(student: _Student) -> Iterator[Picture]:
    matrices = {
        method_label(method): np.mean(own, axis=0)
        for method in student.methods
        if (own := [run.ics for run in student.results.of(student.name, method) if run.ics is not None])
    }
    teacher = student.results.teacher.ics
    if matrices and teacher is not None:
        yield _picture(
            f"ics_matrices_{student.name}",
            f"Inter-class similarity, {student.label}",
            "KL divergence between the spatial distributions of each pair of classes, mean over images and "
            "seeds: small values (dark) mean that a network predicts two classes at similar positions. "
            f"Below: {MORE} is more and {LESS} less separated than in the teacher; a student with the "
            "teacher's similarities is pale.",
            similarity_matrices(teacher, matrices, student.classes, student=student.label),
        )


def _confusion(student: _Student) -> Iterator[Picture]:
    runs = {"Teacher": [student.results.teacher]} | {
        method_label(method): student.results.of(student.name, method) for method in student.methods
    }
    counts = {label: total for label, own in runs.items() if (total := _summed(own)) is not None}
    if len(counts) > 1:
        yield _picture(
            f"confusion_{student.name}",
            f"Confusion, {student.label}",
            "Of all pixels of a class (row), the percentage that is predicted as each class (column), "
            "over all images and seeds.",
            confusion(counts, student.classes, student=student.label),
        )


def _panels(student: _Student) -> Iterator[Picture]:
    if student.results.teacher.panels is None:
        return
    teacher = read_panels(student.results.teacher.panels)
    predictions = {"Teacher": teacher.predictions}
    seeds = []
    for method in student.methods:
        runs = [run for run in student.results.of(student.name, method) if run.panels is not None]
        for run in runs[:1]:
            assert run.panels is not None
            predictions[method_label(method)] = read_panels(run.panels).predictions
            seeds.append(str(run.seed))
    yield _picture(
        f"panels_{student.name}",
        f"Predictions, {student.label}",
        f"The first images of the reported split ({', '.join(teacher.ids)}), not chosen for their results; "
        f"students of seed {', '.join(dict.fromkeys(seeds)) or '–'}.",
        panels(teacher, predictions, student.classes, student.palette, student=student.label),
    )


def _summed(runs: Sequence[Run]) -> NDArray[np.float64] | None:
    """Counts over all images of all runs, [C, C]; None without confusion matrices."""
    counts = [run.confusion.sum(axis=0) for run in runs if run.confusion is not None]
    return np.sum(counts, axis=0).astype(np.float64) if counts else None


def _picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    return Picture(name, title, caption, to_png(figure))
