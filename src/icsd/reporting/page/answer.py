"""The answer in sentences: which method, by how much, how sure, and what did not work."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from icsd.reporting.page.settling import settling
from icsd.reporting.results import ALONE, KD
from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import p_value, records, signed
from icsd.runs import TEACHER

Row = dict[str, Any]


def answer(
    comparison: pd.DataFrame,
    contrasts: pd.DataFrame,
    decisions: pd.DataFrame,
    *,
    focus: str,
    num_gaps: int,
) -> list[list[str]]:
    """Blocks of sentences, one per student; the first sentence of each is its main result about ``focus``.

    Args:
        comparison: From :func:`icsd.reporting.tables.comparison.rows`.
        contrasts: From :func:`icsd.reporting.tables.contrasts.rows`, for the same ``focus``.
        decisions: From :func:`icsd.reporting.tables.decisions.rows`.
        focus: The method the report is about.
        num_gaps: Number of expected files that are missing.
    """
    teacher = next(iter(_rows(comparison[comparison["method"] == TEACHER])))
    blocks = []
    for student in comparison.loc[comparison["method"] != TEACHER, "student"].unique():
        rows = [
            row for row in _rows(comparison[comparison["student"] == student]) if row["method"] != TEACHER
        ]
        differences = _rows(contrasts[contrasts["student"] == student])
        blocks.append(_about(str(student), rows, differences, teacher, decisions, focus=focus))
    if num_gaps:
        files = "file was" if num_gaps == 1 else "files were"
        missing = f"{num_gaps} expected {files} missing or diverged"
        blocks.append([f"Incomplete: {missing}; gaps are marked – and listed below."])
    return blocks


def cost_sentences(costs: pd.DataFrame, *, focus: str) -> list[list[str]]:
    """A block about the cost of training with ``focus`` relative to the student alone; none if not measured.

    Incomparable times are left out: runs that overlap share the machine, so their wall clock time per epoch
    depends on the other runs.

    Args:
        costs: From :func:`icsd.reporting.tables.cost.rows`.
        focus: The method the report is about.
    """
    sentences: list[str] = []
    for row in _rows(costs[costs["method"] == focus]):
        extra: int = 0 if pd.isna(row["extra_parameters"]) else int(row["extra_parameters"])
        added: str = f"{extra:,} parameters train alongside it" if extra else "no parameters are added"
        name = f"with {method_label(focus)}, an epoch of {network_label(row['student'])}"
        if pd.notna(row["relative_time"]):
            sentences.append(
                f"Cost: {name} takes {_relative_time(row)}, and {added}; "
                "the trained network has the same size."
            )
        elif row["n_beside"]:
            sentences.append(
                f"Cost: the time {name} takes was measured while other trainings ran, and the processor time "
                f"is not known, so it is not compared; {added}, and the trained network has the same size."
            )
    if sentences and (costs["cached_epochs"] > 0).any():
        sentences.append(
            "The first training of a seed runs the teacher, and the others read its logits; all costs are "
            "given as if the teacher had run in every epoch."
        )
    return [sentences] if sentences else []


def _relative_time(row: Row) -> str:
    of = "the processor time of" if row["relative_of"] == "processor" else "as long as"
    return f"{row['relative_time']:.2f} times {of} the student alone"


def verdict(row: Row) -> str:
    """How sure a difference is: only its corrected p decides.

    The p belongs to the interval, so the interval of an established difference excludes zero; a difference
    whose interval excludes zero can only fail because of the correction.
    """
    low, high, p = row["delta_low"], row["delta_high"], row["p_holm"]
    if row["n"] < 2:
        return "with one seed, training noise is unknown and nothing can be concluded"
    if pd.isna(p):
        return "not testable: a single image or clip, or nothing varies"
    if low <= 0 <= high:
        return "not distinguishable from zero"
    side = "gain" if low > 0 else "loss"
    if p < LEVEL:
        return f"a clear {side}"
    return f"a {side} taken alone, but not established by {row['n']} seeds once corrected for all comparisons"


def _about(
    student: str,
    rows: list[Row],
    differences: list[Row],
    teacher: Row,
    decisions: pd.DataFrame,
    *,
    focus: str,
) -> list[str]:
    name = network_label(student)
    known = [row for row in rows if row["method"] != ALONE and pd.notna(row["delta_mean"])]
    alone = next((row for row in rows if row["method"] == ALONE and pd.notna(row["miou_mean"])), None)
    if alone is None or not known:
        claim = f"{name}: no gain can be stated, since no method and the student alone were both evaluated."
        return [claim, *_missing(rows), *_highest(rows, teacher), *_tied(rows)]
    best = max(known, key=lambda row: float(row["delta_mean"]))
    first = next((row for row in known if row["method"] == focus), best)
    reached = f"{_score(first)} mIoU against {_score(alone)} for the student alone"
    p: str = "" if pd.isna(first["p_holm"]) else f", corrected p {_p(first['p_holm'])}"
    sentences = [
        f"{name}: {method_label(first['method'])} reaches {reached}, {_difference(first)}:"
        f" {verdict(first)}{p}.",
        *settling(decisions, student, str(first["method"])),
        *_tied(rows),
    ]
    if best is not first:
        against = [row for row in differences if row["reference"] == best["method"] and row["n"] > 0]
        ours, theirs = method_label(first["method"]), method_label(best["method"])
        sentences += [
            f"{theirs} is higher ({_points(best)}); {ours} − {theirs}: {_difference(row)}, {verdict(row)}."
            for row in against
        ]
    if best is first or best["method"] != KD:  # otherwise the last sentence says it
        sentences += _against_kd(first)
    others = [row for row in known if row is not first]
    if others:
        sentences.append(f"Other methods against the student alone: {_by_verdict(others)}.")
    return [
        *sentences,
        *_missing(rows),
        *_context(first, alone, teacher),
        *_published(known, name),
    ]


def _against_kd(row: Row) -> list[str]:
    if pd.isna(row["kd_delta_mean"]):
        return []
    own = {name.removeprefix("kd_"): value for name, value in row.items() if name.startswith("kd_")}
    own["n"] = own["n_pairs"]
    return [f"{method_label(row['method'])} − KD: {_difference(own)}, {verdict(own)}."]


def _missing(rows: Sequence[Row]) -> list[str]:
    """Sentences about methods or results that a comparison needs and that are missing."""
    without = [row for row in rows if not row["n_seeds"]]
    sentences = [f"Without any result, missing or diverged: {_names(without)}."] if without else []
    if all(row["method"] != ALONE for row in rows):
        sentences.append("The student alone is not in the grid: add none to grid.baselines.")
    if all(row["method"] == ALONE for row in rows):
        sentences.append("No other method is in the grid: add one to grid.baselines or grid.distilled.")
    return sentences


def _highest(rows: Sequence[Row], teacher: Row) -> list[str]:
    """The highest score, for when there are no differences to the student alone."""
    known = [row for row in rows if pd.notna(row["miou_mean"])]
    if not known:
        return []
    best = max(known, key=lambda row: float(row["miou_mean"]))
    context: str = "" if pd.isna(teacher["miou_mean"]) else f"; the teacher reaches {_score(teacher)}"
    which = f"{method_label(best['method'])} reaches {_score(best)} mIoU"
    return [f"{which}{', the highest' if len(known) > 1 else ''}{context}."]


def _tied(rows: Sequence[Row]) -> list[str]:
    """Which methods tests do or do not tell apart from the highest; rows of one seed have no group."""
    tested = [row for row in rows if pd.notna(row["group"])]
    if len(tested) < 2:
        trained = [row for row in rows if row["n_seeds"] > 0]
        return ["With one seed the methods cannot be tested against each other."] if len(trained) > 1 else []
    highest = max(tested, key=lambda row: float(row["miou_mean"]))
    if {row["group"] for row in tested} == {highest["group"]}:
        seeds = highest["n_seeds"]
        return [f"Pairwise tests with {seeds} seeds tell no two of these {len(tested)} methods apart."]
    name = method_label(highest["method"])
    apart = [row for row in tested if not set(row["group"]) & set(highest["group"])]
    tied = [row for row in tested if row is not highest and row not in apart]
    if len(tied) <= len(apart):
        return [f"Not told apart from {name}, the highest, by pairwise tests: {_names(tied) or 'none'}."]
    return [f"Told apart from {name}, the highest, by pairwise tests: {_names(apart) or 'none'}."]


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(method_label(row["method"]) for row in rows)


def _by_verdict(rows: Sequence[Row]) -> str:
    """``KD +1.20 ± 0.30, AT …: a clear gain; SP …: not distinguishable from zero``, the largest first."""
    groups: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: -float(row["delta_mean"])):
        groups.setdefault(verdict(row), []).append(f"{method_label(row['method'])} {_points(row)}")
    return "; ".join(f"{', '.join(listed)}: {kind}" for kind, listed in groups.items())


def _context(first: Row, alone: Row, teacher: Row) -> list[str]:
    gap = teacher["miou_mean"] - alone["miou_mean"]
    if pd.isna(gap):
        return []
    if gap <= 0:
        return [
            f"The teacher ({_score(teacher)}) is no better than the student alone: it has little to teach."
        ]
    share = 100 * first["delta_mean"] / gap
    closed = f"closes {share:.0f} % of" if share > 0 else "closes nothing of"
    return [
        f"The teacher reaches {_score(teacher)}; {method_label(first['method'])} {closed} "
        f"the {gap:.1f} points between it and the student alone."
    ]


def _published(rows: Sequence[Row], name: str) -> list[str]:
    listed = [
        f"{method_label(row['method'])} {signed(row['published_delta'])}"
        for row in rows
        if pd.notna(row["published_delta"])
    ]
    return (
        [f"Published for {name} on this dataset, against their student alone: {', '.join(listed)}."]
        if listed
        else []
    )


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def _score(row: Row) -> str:
    spread: str = "" if pd.isna(row["miou_std"]) else f" ± {row['miou_std']:.2f}"
    return f"{row['miou_mean']:.2f}{spread} %"


def _difference(row: Row) -> str:
    span = ""
    if pd.notna(row["delta_low"]):
        span = f" (95 % interval {signed(row['delta_low'])} to {signed(row['delta_high'])})"
    return f"{_points(row)} points{span}"


def _points(row: Row) -> str:
    spread: str = "" if pd.isna(row["delta_std"]) else f" ± {row['delta_std']:.2f}"
    return f"{signed(row['delta_mean'])}{spread}"


def _rows(table: pd.DataFrame) -> list[Row]:
    """Records with ``n``, the number of seeds or of pairs of seeds."""
    return [{**row, "n": row.get("n_pairs", row.get("n_seeds"))} for row in records(table)]
