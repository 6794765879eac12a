"""The comparison of methods: scores, intervals, differences and tests, agreement, published values."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from icsd.core.metrics import mean_iou_of_seen
from icsd.reporting.differences import (
    Difference,
    Differences,
    Resampled,
    all_differences,
    score_interval,
    scores,
)
from icsd.reporting.literature.values import matching_value
from icsd.reporting.results import ALONE, KD, Results, Run
from icsd.reporting.statistics.estimates import estimate, mean
from icsd.reporting.statistics.groups import tied_groups
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import GAP, Cell, Display, missing, number, span, spread
from icsd.reporting.tables.columns import (
    Column,
    Row,
    by_difference,
    corrected_p,
    method,
    network,
    num_seeds,
    to_display,
)
from icsd.runs import TEACHER


def rows(results: Results, resampled: Resampled) -> pd.DataFrame:
    """One row for the teacher and one per student and method, in the grid's order; scores in percent.

    ``delta_*`` are differences to the same student trained alone, paired by seed, in percentage points, and
    ``kd_delta_*`` to the same student trained with KD; ``p_holm`` and ``kd_p_holm`` are corrected for all
    pairs of a student's methods (:func:`icsd.reporting.differences.all_differences`). ``group``: see
    :func:`icsd.reporting.statistics.groups.tied_groups`.
    """
    table = [_row(results, resampled, [results.teacher], results.teacher.student, TEACHER)]
    for student in results.students:
        differences = all_differences(results, student, resampled)
        block = [
            _row(results, resampled, results.of(student, name), student, name) | _against(name, differences)
            for name in results.methods
        ]
        letters = _groups(block, differences)
        table += [row | {"group": letters.get(row["method"])} for row in block]
    frame = pd.DataFrame(table)
    texts = ("student", "method", "group", "interval_over", "published_source", "published_deviations")
    whole = ("n_seeds", "n_images", "n_clips", "n_pairs", "kd_n_pairs", "parameters")
    numbers = [name for name in frame.columns if name not in (*texts, *whole)]
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(numbers, float))


def display(table: pd.DataFrame) -> Display:
    """The main columns: the teacher, the student alone, then the methods by their difference to it."""
    columns: list[Column] = [
        ("Network", network),
        ("Method", method),
        ("mIoU %", lambda row: spread(row["miou_mean"], row["miou_std"])),
        ("Δ alone", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval of Δ", lambda row: span(row["delta_low"], row["delta_high"], signed=True)),
        ("p (Holm)", corrected_p),
    ]
    return to_display("comparison", "Comparison", by_difference(table), columns, _first_notes(table))


def details(table: pd.DataFrame) -> Display:
    """The other columns; those about KD and published values only if there are any values."""
    columns: list[Column] = [
        ("Network", network),
        ("Method", method),
        ("mIoU %", lambda row: spread(row["miou_mean"], row["miou_std"])),
        ("95 % interval", lambda row: span(row["miou_low"], row["miou_high"])),
        ("n", num_seeds),
        ("Group", _group),
    ]
    if table["kd_delta_mean"].notna().any():
        columns += [
            ("Δ KD", lambda row: spread(row["kd_delta_mean"], row["kd_delta_std"], signed=True)),
            (
                "95 % interval of Δ KD",
                lambda row: span(row["kd_delta_low"], row["kd_delta_high"], signed=True),
            ),
            ("p (Holm) KD", lambda row: corrected_p(row, "kd_")),
        ]
    if table["published_miou"].notna().any():
        columns += [
            ("Published mIoU %", lambda row: spread(row["published_miou"], row["published_std"])),
            ("Published Δ", lambda row: number(row["published_delta"], "+.2f")),
        ]
    columns += [
        ("Pixel acc. %", lambda row: number(row["pixel_accuracy"], ".2f")),
        ("Class acc. %", lambda row: number(row["class_accuracy"], ".2f")),
        ("Agreement %", lambda row: number(row["agreement_pixels"], ".2f")),
        ("KL", lambda row: number(row["agreement_kl"], ".4f")),
        ("ICS distance", lambda row: number(row["agreement_ics_distance"], ".4f")),
        ("Parameters", lambda row: number(row["parameters"], ",d")),
    ]
    title = "Comparison, other columns"
    return to_display("comparison_details", title, by_difference(table), columns, _notes(table))


def _row(results: Results, resampled: Resampled, runs: list[Run], student: str, name: str) -> dict[str, Any]:
    metrics = [run.metrics for run in runs if run.metrics]
    score = estimate(scores(runs))
    score_span = score_interval(runs, resampled)
    agreements = [each.agreement for each in metrics if each.agreement]
    return {
        "student": student,
        "method": name,
        "group": None,
        "n_seeds": score.n if score else 0,
        "miou_mean": score.mean if score else None,
        "miou_std": score.std if score else None,
        "miou_low": score_span.low if score_span else None,
        "miou_high": score_span.high if score_span else None,
        "miou_of_seen": mean(
            [100 * mean_iou_of_seen(run.confusion.sum(axis=0)) for run in runs if run.confusion is not None]
        ),
        "interval_over": score_span.over if score_span else None,
        "n_images": resampled.num_images if score_span else None,
        "n_clips": resampled.num_clips if score_span else None,
        **_against(name, {}),
        "pixel_accuracy": mean([100 * each.pixel_accuracy for each in metrics]),
        "class_accuracy": mean([100 * each.class_accuracy for each in metrics]),
        "agreement_pixels": mean([100 * each.pixels for each in agreements]),
        "agreement_kl": mean([each.kl for each in agreements]),
        "agreement_ics_distance": mean([each.ics_distance for each in agreements]),
        "parameters": metrics[0].parameters if metrics else None,
        **_published(results, student, name),
    }


def _against(name: str, differences: Differences) -> dict[str, Any]:
    """The differences of a method to the student alone and to KD, empty for a method against itself."""
    to_alone = differences.get((name, ALONE), Difference())
    to_kd = Difference() if name == ALONE else differences.get((name, KD), Difference())
    return to_alone.columns() | {f"kd_{column}": value for column, value in to_kd.columns().items()}


def _published(results: Results, student: str, name: str) -> Mapping[str, Any]:
    value = matching_value(results, student, name) or {}
    alone = matching_value(results, student, ALONE) or {}
    score, base = value.get("mean"), alone.get("mean")
    delta = None
    if name not in (TEACHER, ALONE) and isinstance(score, float) and isinstance(base, float):
        delta = score - base
    return {
        "published_miou": score,
        "published_std": value.get("std"),
        "published_delta": delta,
        "published_source": value.get("source"),
        "published_deviations": value.get("deviations"),
    }


def _groups(block: list[dict[str, Any]], differences: Differences) -> dict[str, str]:
    """Group letters of the methods with at least two seeds; a single run cannot be tested."""
    testable = [row for row in block if row["n_seeds"] > 1]
    ranked = [str(row["method"]) for row in sorted(testable, key=lambda row: -float(row["miou_mean"]))]
    apart = {frozenset(pair) for pair, difference in differences.items() if difference.established}
    return tied_groups(ranked, apart)


def _group(row: Row) -> Cell:
    if row["method"] == TEACHER or not row["n_seeds"]:
        return Cell(GAP)
    return Cell("not testable" if missing(row["group"]) else row["group"])


def _first_notes(table: pd.DataFrame) -> list[str]:
    kinds = table.loc[table["method"] != TEACHER, "n_seeds"]
    num_seeds = f"{kinds.min()} to {kinds.max()}" if kinds.min() != kinds.max() else f"{kinds.max()}"
    return [
        f"mIoU: mean ± standard deviation over {num_seeds} seeds, each a separate training. Δ alone: "
        "difference to the same student trained alone, paired by seed, in percentage points.",
        "p: the level at which zero would lie on the edge of the interval, so it accounts for training noise "
        "and the choice of images. Holm-corrected for all pairs of methods of a student; half of the error "
        "rate is reserved for the differences to the student alone. A difference is established if p is "
        "below 5 %; all sentences and letters follow this rule, so they never contradict each other.",
        *_interval_notes(table),
    ]


def _notes(table: pd.DataFrame) -> list[str]:
    return [
        _of_seen(table),
        "Group: methods share a letter unless the difference between them is established; a is the group of "
        "the highest mean. A shared letter does not mean equal: few seeds can establish few differences, "
        "and with many methods even fewer.",
        "Agreement, KL, ICS distance: share of pixels on which student and teacher predict the same class, "
        "pixel-wise KL(teacher ‖ student), and distance between their inter-class similarity matrices.",
        *_published_notes(table),
    ]


def _of_seen(table: pd.DataFrame) -> str:
    """State how the mean treats classes that are only predicted, and the value other tools would give."""
    other = table[(table["miou_of_seen"] - table["miou_mean"]).abs() > 0.005]
    rule = (
        "mIoU is over the classes that occur in the labels; a class that is predicted but does not occur is "
        "left out, while torchmetrics and MMSegmentation count it as 0"
    )
    if other.empty:
        return f"{rule}. Here this makes no difference."
    values = ", ".join(
        f"{network_label(row['student'])} {method_label(row['method'])} {row['miou_of_seen']:.2f}"
        for row in other.to_dict("records")
    )
    return f"{rule}. Counted as 0: {values} %."


def _interval_notes(table: pd.DataFrame) -> list[str]:
    kinds = set(table.loc[table["method"] != TEACHER, "interval_over"].dropna())
    notes = []
    if "images and seeds" in kinds:
        notes.append(
            "95 % interval: bootstrap over seeds and images, from per-image confusion matrices, with "
            "Student's t because there are few seeds (with two, it is wide). It covers other trainings and "
            "other test images; for the teacher, which is a single training, only other images."
        )
    if "images" in kinds:
        notes.append(
            "n = 1: no inference is possible, so there is no standard deviation, no test and no group. The "
            "95 % interval (bootstrap of per-image confusion matrices) covers other images but not training "
            "noise, and a single training cannot tell methods apart."
        )
    known = table.dropna(subset=["n_images"])
    if len(known):
        num_images, num_clips = known["n_images"].iloc[0], known["n_clips"].iloc[0]
        notes.append(
            f"Images: the {num_images} of the reported split are taken as independent; set `report.clips` if "
            "they are frames of videos."
            if pd.isna(num_clips)
            else f"Images: {num_images} frames of {num_clips} clips; whole clips are resampled, because "
            f"frames of one clip are not independent. "
            + ("Few clips say little about others, so intervals are wide." if num_clips < 10 else "")
        )
    return notes


def _published_notes(table: pd.DataFrame) -> list[str]:
    """The sources of the published values; the table of these says how their protocols differ."""
    sources = table["published_source"].dropna().unique()
    return [
        f"Published: {source}; the table of published values says what was different." for source in sources
    ]
