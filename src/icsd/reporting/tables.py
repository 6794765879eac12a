"""Results -> data frames of raw numbers: scores in percent and points, gaps missing, nothing formatted."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from icsd.reporting.groups import tied_groups
from icsd.reporting.published import beside
from icsd.reporting.results import ALONE, KD, Results, Run
from icsd.reporting.statistics import (
    Interval,
    Values,
    estimate,
    holm,
    image_weights,
    interval,
    paired_p,
    resampled_miou,
)
from icsd.runs import TEACHER

Draws = Mapping[tuple[str, str, int], Values]
"""(student, method, seed) -> mIoU of every resample, as a fraction; the teacher under its own names."""


def draw(results: Results, *, resamples: int, seed: int) -> Draws:
    """Bootstrap resamples of every evaluated network, all over the same draws of images."""
    runs = [run for run in results.evaluated() if run.confusion is not None]
    if not runs:
        return {}
    weights = image_weights(len(runs[0].ids), resamples=resamples, seed=seed)
    return {_key(run): resampled_miou(run.confusion, weights) for run in runs if run.confusion is not None}


def comparison(results: Results, draws: Draws) -> pd.DataFrame:
    """One row for the teacher and one per student and method, in the grid's order; scores in percent.

    ``delta_*`` are differences to the same student trained alone, paired by seed, in percentage points, and
    ``kd_delta_*`` to the same student trained with KD; ``p_holm`` and ``kd_p_holm`` are corrected for the
    number of methods compared with it, per student. ``group``: see :func:`icsd.reporting.groups.tied_groups`.
    """
    rows = [_comparison_row(results, draws, [results.teacher], results.teacher.student, TEACHER)]
    for student in results.students:
        block = [
            _comparison_row(results, draws, results.of(student, method), student, method)
            for method in results.methods
        ]
        for prefix in ("", "kd_"):
            corrected = holm([row[f"{prefix}p"] for row in block])
            for row, p in zip(block, corrected, strict=True):
                row[f"{prefix}p_holm"] = p
        letters = _groups(results, student)
        rows += [row | {"group": letters.get(row["method"])} for row in block]
    table = pd.DataFrame(rows)
    texts = ("student", "method", "group", "interval_over", "published_source", "published_deviations")
    whole = ("n_seeds", "n_pairs", "kd_n_pairs", "parameters")
    numbers = [name for name in table.columns if name not in (*texts, *whole)]
    return table.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(numbers, float))


def contrasts(results: Results, draws: Draws, *, focus: str) -> pd.DataFrame:
    """``focus`` minus every other method, per student, paired by seed; percentage points."""
    rows = []
    for student in results.students:
        others = [method for method in results.methods if method not in (focus, ALONE)]
        block: list[dict[str, Any]] = [
            {"student": student, "method": focus, "reference": other}
            | _difference(results.of(student, focus), results.of(student, other), draws)
            for other in others
            if focus in results.methods
        ]
        corrected = holm([row["p"] for row in block])
        rows += [row | {"p_holm": p} for row, p in zip(block, corrected, strict=True)]
    names = ("delta_mean", "delta_std", "delta_low", "delta_high", "n_pairs", "p", "p_holm")
    table = pd.DataFrame(rows, columns=["student", "method", "reference", *names])
    return table.astype(dict.fromkeys(names, float)).astype({"n_pairs": "Int64"})


def seed_scores(results: Results) -> pd.DataFrame:
    """The mIoU of every run in percent: student, method, seed, miou."""
    rows = [
        (run.student, run.method, run.seed, _percent(run.metrics.miou))
        for run in results.evaluated()
        if run.metrics
    ]
    return pd.DataFrame(rows, columns=["student", "method", "seed", "miou"])


def per_class(results: Results) -> pd.DataFrame:
    """IoU of each class in percent: student, method, class, iou_mean, iou_std, n_seeds."""
    groups = [(results.teacher.student, TEACHER, [results.teacher])] + [
        (student, method, results.of(student, method))
        for student in results.students
        for method in results.methods
    ]
    rows: list[tuple[str, str, str, float | None, float | None, int]] = []
    for student, method, runs in groups:
        for index, name in enumerate(class_names(results)):
            values = [run.metrics.iou_per_class[index] for run in runs if run.metrics]
            found = estimate([_percent(value) for value in values if value is not None])
            rows.append(
                (student, method, name, *((found.mean, found.std, found.n) if found else (None, None, 0)))
            )
    columns = ["student", "method", "class", "iou_mean", "iou_std", "n_seeds"]
    return pd.DataFrame(rows, columns=columns).astype({"iou_mean": float, "iou_std": float})


def cost(results: Results) -> pd.DataFrame:
    """What training and the networks cost, means over seeds; differs between identical runs."""
    rows = [_cost_row([results.teacher], results.teacher.student, TEACHER)]
    for student in results.students:
        block = [
            _cost_row([results.runs[student, method, seed] for seed in results.seeds], student, method)
            for method in results.methods
        ]
        alone = next((row["seconds_per_epoch"] for row in block if row["method"] == ALONE), None)
        for row in block:
            seconds = row["seconds_per_epoch"]
            row["relative_time"] = seconds / alone if seconds and alone else None
        rows += block
    table = pd.DataFrame(rows)
    whole = ("n_runs", "extra_parameters", "parameters", "flops")
    return table.astype(dict.fromkeys(whole, "Int64"))


def histories(results: Results, student: str) -> pd.DataFrame:
    """All epochs of all runs of one student, with columns method and seed before those of history.csv."""
    parts = []
    for method in results.methods:
        for seed in results.seeds:
            history = results.runs[student, method, seed].history
            if history is not None:
                parts.append(history.assign(method=method, seed=seed))
    table = (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["epoch", "method", "seed"])
    )
    return table[["method", "seed", *(name for name in table.columns if name not in ("method", "seed"))]]


def read_table(path: Path) -> pd.DataFrame:
    """A table of the report as it was written; empty cells are gaps, and no name of a method is one."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def provenance(results: Results) -> pd.DataFrame:
    """Where each row comes from: MLflow run, commit, digest of the weights, dates."""
    rows = []
    for run in (results.teacher, *results.runs.values()):
        mlflow = run.cost.mlflow if run.cost else None
        git = run.cost.git if run.cost else None
        commit = f"{git.commit[:12]}{' + changes' if git.dirty else ''}" if git and git.commit else None
        rows.append(
            {
                "student": run.student,
                "method": run.method,
                "seed": run.seed,
                "weights_sha256": run.metrics.weights_sha256 if run.metrics else None,
                "git_commit": commit,
                "mlflow_experiment": mlflow.experiment if mlflow else None,
                "mlflow_run_id": mlflow.run_id if mlflow else None,
                "finished": run.cost.finished if run.cost else None,
                "resumed": run.cost.resumed if run.cost else None,
            }
        )
    return pd.DataFrame(rows).astype({"resumed": "Int64"})


def class_names(results: Results) -> tuple[str, ...]:
    """The classes of the dataset, from the first evaluated run; empty when there is none."""
    return next((run.metrics.classes for run in results.evaluated() if run.metrics), ())


def _comparison_row(
    results: Results, draws: Draws, runs: list[Run], student: str, method: str
) -> dict[str, Any]:
    metrics = [run.metrics for run in runs if run.metrics]
    scores = estimate([_percent(each.miou) for each in metrics])
    span = _span(
        [_percent(each.miou) for each in metrics], [_percents(draws, run) for run in runs], _num_images(runs)
    )
    agreements = [each.agreement for each in metrics if each.agreement]
    to_alone = [] if method in (TEACHER, ALONE) else results.of(student, ALONE)
    to_kd = [] if method in (TEACHER, ALONE, KD) else results.of(student, KD)
    against_kd = _difference(runs, to_kd, draws) | {"p_holm": None}
    return {
        "student": student,
        "method": method,
        "group": None,
        "n_seeds": scores.n if scores else 0,
        "miou_mean": scores.mean if scores else None,
        "miou_std": scores.std if scores else None,
        "miou_low": span.low if span else None,
        "miou_high": span.high if span else None,
        "interval_over": span.over if span else None,
        **_difference(runs, to_alone, draws),
        "p_holm": None,
        **{f"kd_{name}": value for name, value in against_kd.items()},
        "pixel_accuracy": _mean(_percent(each.pixel_accuracy) for each in metrics),
        "class_accuracy": _mean(_percent(each.class_accuracy) for each in metrics),
        "agreement_pixels": _mean(_percent(each.pixels) for each in agreements),
        "agreement_kl": _mean(each.kl for each in agreements),
        "agreement_ics_distance": _mean(each.ics_distance for each in agreements),
        "parameters": metrics[0].parameters if metrics else None,
        **_published(results, student, method),
    }


def _published(results: Results, student: str, method: str) -> dict[str, Any]:
    source = beside(results, student, method) or {}
    base = beside(results, student, ALONE) or {}
    mean, base_mean = source.get("mean"), base.get("mean")
    delta = None
    if method not in (TEACHER, ALONE) and isinstance(mean, float) and isinstance(base_mean, float):
        delta = mean - base_mean
    return {
        "published_miou": mean,
        "published_std": source.get("std"),
        "published_delta": delta,
        "published_source": source.get("source"),
        "published_deviations": source.get("deviations"),
    }


def _groups(results: Results, student: str) -> dict[str, str]:
    runs = {method: results.of(student, method) for method in results.methods}
    return tied_groups(
        {method: {run.seed: run.metrics.miou for run in own if run.metrics} for method, own in runs.items()}
    )


def _difference(runs: list[Run], references: list[Run], draws: Draws) -> dict[str, Any]:
    """Paired by seed: runs minus references, in percentage points, over the seeds both have."""
    by_seed = {run.seed: run for run in references}
    pairs = [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]
    values = [
        _percent(ours.metrics.miou - theirs.metrics.miou)
        for ours, theirs in pairs
        if ours.metrics and theirs.metrics
    ]
    found = estimate(values)
    drawn = [(_percents(draws, ours), _percents(draws, theirs)) for ours, theirs in pairs]
    differences = [None if a is None or b is None else a - b for a, b in drawn]
    span = _span(values, differences, _num_images(runs))
    return {
        "delta_mean": found.mean if found else None,
        "delta_std": found.std if found else None,
        "delta_low": span.low if span else None,
        "delta_high": span.high if span else None,
        "n_pairs": found.n if found else 0,
        "p": paired_p(values),
    }


def _cost_row(runs: list[Run], student: str, method: str) -> dict[str, Any]:
    costs = [run.cost for run in runs if run.cost]
    metrics = next((run.metrics for run in runs if run.metrics), None)
    return {
        "student": student,
        "method": method,
        "n_runs": len(costs),
        "seconds_per_epoch": _mean(each.seconds_per_epoch for each in costs),
        "relative_time": None,
        "minutes_training": _mean(each.seconds_training / 60 for each in costs),
        "images_per_second": _mean(each.images_per_second for each in costs),
        "peak_memory_mb": _mean(each.peak_memory_mb for each in costs if each.peak_memory_mb is not None),
        "extra_parameters": costs[0].extra_parameters if costs else None,
        "parameters": metrics.parameters if metrics else None,
        "flops": metrics.flops if metrics else None,
        "device": ", ".join(sorted({each.device for each in costs})) or None,
        "resumed": sum(each.resumed for each in costs) if costs else None,
    }


def _span(values: list[float], draws: Sequence[Values | None], num_images: int) -> Interval | None:
    """None without values, with a single image, or where the confusion matrices of a run are missing."""
    drawn = [each for each in draws if each is not None]
    if not drawn or len(drawn) < len(values) or num_images < 2:
        return None
    return interval(values, np.stack(drawn), num_images=num_images)


def _num_images(runs: list[Run]) -> int:
    return len(runs[0].ids) if runs else 0


def _percents(draws: Draws, run: Run) -> Values | None:
    return 100 * draws[_key(run)] if _key(run) in draws else None


def _key(run: Run) -> tuple[str, str, int]:
    return run.student, run.method, run.seed


def _percent(fraction: float) -> float:
    return 100 * fraction


def _mean(values: Iterable[float]) -> float | None:
    found = estimate(list(values))
    return found.mean if found else None
