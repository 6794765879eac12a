"""Which figures a report has, from which numbers, and what each caption says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from icsd.reporting import figures, matrices, tables
from icsd.reporting.drawing import to_png
from icsd.reporting.health import SHARE
from icsd.reporting.results import ALONE, Results, Run, read_panels
from icsd.reporting.shares import loss_shares
from icsd.reporting.style import MANY, method_label, network_label


@dataclass(frozen=True)
class Picture:
    """A drawn figure: file name without suffix, heading, caption, bytes."""

    name: str
    title: str
    caption: str
    png: bytes


def draw_all(
    results: Results,
    *,
    comparison: pd.DataFrame,
    per_class: pd.DataFrame,
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    focus: str,
) -> Iterator[Picture]:
    """Every figure for which there are numbers, the most telling first."""
    scores = tables.seed_scores(results)
    if comparison["miou_mean"].notna().any():
        yield _picture(
            "miou_by_method",
            "mIoU by method",
            "Dots are single trainings, the upright mark is their mean, the line its 95 % interval. "
            "Intervals may overlap although the paired difference is clear: see Δ in the table.",
            figures.miou_by_method(comparison, scores),
        )
    for student in results.students:
        yield from _of_student(
            results, student, per_class=per_class, classes=classes, palette=palette, focus=focus
        )


def _of_student(
    results: Results,
    student: str,
    *,
    per_class: pd.DataFrame,
    classes: Sequence[str],
    palette: NDArray[np.uint8],
    focus: str,
) -> Iterator[Picture]:
    name = network_label(student)
    if per_class.loc[per_class["student"] == student, "iou_mean"].notna().any():
        yield _picture(
            f"per_class_iou_{student}",
            f"IoU per class, {name}",
            "Where a method gains and where it loses; upright black marks are the teacher. "
            "A difference smaller than the spread of the seeds says nothing.",
            figures.per_class_iou(per_class, student=student, focus=focus),
        )
    history = tables.histories(results, student)
    if len(history):
        yield _picture(
            f"training_curves_{student}",
            f"Training, {name}",
            "Loss terms are unweighted, so methods that share a term can be compared; the total is what was "
            "minimised and differs in kind between methods. Logarithmic where a term spans a factor of 20.",
            figures.training_curves(history, student=student, focus=focus),
        )
        if history["method"].nunique() > MANY and history[figures.MIOU].notna().any():
            yield _picture(
                f"validation_by_method_{student}",
                f"Validation by method, {name}",
                "One panel per method, with the means of all others in grey.",
                figures.validation_by_method(history, student=student),
            )
        if any(name.startswith(SHARE) for name in history.columns):
            yield _picture(
                f"loss_shares_{student}",
                f"What each loss term did, {name}",
                "Share of each weighted term in the gradients that the student was trained with.",
                loss_shares(history, student=student),
            )
        if figures.DISTANCE in history and history[figures.DISTANCE].notna().any():
            yield _picture(
                f"similarity_distance_{student}",
                f"Similarity while learning, {name}",
                "Mean squared difference of the similarity matrices of student and teacher on a few fixed "
                "images, what ICSD minimises: lower is closer, and closer is not by itself better.",
                figures.similarity_distance(history, student=student, focus=focus),
            )
        varying = figures.varying_weights(history)
        if varying:
            shown = focus if focus in varying else varying[0]
            first_seed = history.loc[history["method"] == shown, "seed"].iloc[0]
            one = history[(history["method"] == shown) & (history["seed"] == first_seed)]
            yield _picture(
                f"alw_weights_{student}",
                f"Adaptive loss weighting, {name}",
                "Weights of the loss terms by epoch, each divided by its largest value (in the legend).",
                figures.alw_weights(one, method=shown),
            )
    shown_methods = [method for method in dict.fromkeys((ALONE, focus)) if method in results.methods]
    yield from _matrices(results, student, shown_methods, classes=classes)
    yield from _panels(results, student, shown_methods, classes=classes, palette=palette)


def _matrices(
    results: Results, student: str, methods: Sequence[str], *, classes: Sequence[str]
) -> Iterator[Picture]:
    name = network_label(student)
    similarity = _mean_ics(results, student, methods)
    if similarity and results.teacher.ics is not None:
        yield _picture(
            f"ics_matrices_{student}",
            f"Inter-class similarity, {name}",
            "KL divergence between the spatial distributions of each pair of classes, mean over images and "
            "seeds: small values (dark) are classes that a network places alike. Below: red is more, blue "
            "less separated than in the teacher; a student that learnt its similarities is pale.",
            matrices.ics_matrices(results.teacher.ics, similarity, classes, student=name),
        )
    counts = {"Teacher": [results.teacher]} | {
        method_label(method): results.of(student, method) for method in methods
    }
    summed = {label: total for label, runs in counts.items() if (total := _summed(runs)) is not None}
    if len(summed) > 1:
        yield _picture(
            f"confusion_{student}",
            f"Confusion, {name}",
            "Of all pixels of a class (row), the percentage that is predicted as each class (column).",
            matrices.confusion(summed, classes, student=name),
        )


def _panels(
    results: Results,
    student: str,
    methods: Sequence[str],
    *,
    classes: Sequence[str],
    palette: NDArray[np.uint8],
) -> Iterator[Picture]:
    if results.teacher.panels is None:
        return
    teacher = read_panels(results.teacher.panels)
    predictions = {"Teacher": teacher.predictions}
    seeds = []
    for method in methods:
        for run in results.of(student, method):
            if run.panels is not None and method_label(method) not in predictions:
                predictions[method_label(method)] = read_panels(run.panels).predictions
                seeds.append(str(run.seed))
    yield _picture(
        f"panels_{student}",
        f"Predictions, {network_label(student)}",
        f"The first images of the reported split ({', '.join(teacher.ids)}), not chosen for their results; "
        f"students of seed {', '.join(dict.fromkeys(seeds)) or '–'}.",
        matrices.panels(teacher, predictions, classes, palette, student=network_label(student)),
    )


def _mean_ics(results: Results, student: str, methods: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Label -> mean matrix over seeds, for the methods that have any."""
    found = {
        method: [run.ics for run in results.of(student, method) if run.ics is not None] for method in methods
    }
    return {method_label(method): np.mean(each, axis=0) for method, each in found.items() if each}


def _summed(runs: Sequence[Run]) -> NDArray[np.float64] | None:
    """Counts [C, C] over all images of all runs."""
    counts = [run.confusion.sum(axis=0) for run in runs if run.confusion is not None]
    return np.sum(counts, axis=0).astype(np.float64) if counts else None


def _picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    return Picture(name, title, caption, to_png(figure))
