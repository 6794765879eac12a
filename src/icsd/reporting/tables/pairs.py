"""Class pairs: does a network confuse the classes whose maps are similar, as ICSD assumes?"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import GAP, Cell, Display, number, signed
from icsd.runs import TEACHER

Matrix = NDArray[np.float64]
NUM_DISPLAYED = 12
"""Number of pairs per network and method in the display; the CSV file has all."""
COLUMNS = (
    *("student", "method", "class_a", "class_b"),
    *("errors_share", "similarity", "similarity_teacher", "similarity_difference"),
)


def rows(results: Results, *, focus: str) -> pd.DataFrame:
    """Each class pair's share of the errors and its similarity, for the teacher, student alone and ``focus``.

    Only classes that occur in the labels have rows, since the others have no pixels to get wrong. The
    similarity of a pair is the mean of KL(a ‖ b) and KL(b ‖ a) in nats (arXiv 2308.04243, eq. 4): **small**
    values are similar classes.

    Returns:
        ``errors_share``: percent of all wrong pixels, both directions, over all images and seeds; sums to 100
        over the pairs unless pixels were predicted as an absent class. ``similarity``: mean over images and
        seeds. Each method's rows are sorted by falling share.
    """
    table: list[dict[str, object]] = []
    classes = results.classes
    teacher = results.teacher
    if teacher.ics is None or not classes:
        return pd.DataFrame(columns=list(COLUMNS))
    theirs = (teacher.ics + teacher.ics.T) / 2
    for student, method, runs in _compared_runs(results, focus):
        wrong = _errors(runs)
        ours = np.mean([(run.ics + run.ics.T) / 2 for run in runs if run.ics is not None], axis=0)
        present = np.flatnonzero(_truth(runs) > 0)
        block = [
            {
                "student": student,
                "method": method,
                "class_a": classes[a],
                "class_b": classes[b],
                "errors_share": 100 * float(wrong[a, b]) / max(float(np.triu(wrong).sum()), 1.0),
                "similarity": float(ours[a, b]),
                "similarity_teacher": float(theirs[a, b]),
                "similarity_difference": float(ours[a, b] - theirs[a, b]),
            }
            for a, b in combinations(present.tolist(), 2)
        ]
        table += sorted(block, key=lambda row: -float(str(row["errors_share"])))
    return pd.DataFrame(table, columns=list(COLUMNS))


def correlation_sentences(pairs: pd.DataFrame) -> Iterator[str]:
    """A sentence per network and method: the rank correlation of similarity and errors over the pairs."""
    for (student, method), own in pairs.groupby(["student", "method"], sort=False):
        name = f"{network_label(str(student))}, {method_label(str(method))}"
        if own["errors_share"].nunique() < 2 or own["similarity"].nunique() < 2:
            continue
        rho = float(spearmanr(-own["similarity"], own["errors_share"]).statistic)
        yield (
            f"{name}: Spearman's ρ between the similarity of a pair (its negated KL) and its share of errors "
            f"is {signed(rho)} over {len(own)} pairs, {100 * rho**2:.0f} % of the variance of the ranks. "
            + _meaning(rho)
        )


def display(pairs: pd.DataFrame) -> Display:
    """The pairs with the most errors of each network and method."""
    head = pairs.groupby(["student", "method"], sort=False).head(NUM_DISPLAYED)
    lines = tuple(
        (
            Cell(network_label(row["student"])),
            Cell(method_label(row["method"])),
            Cell(f"{row['class_a']} ↔ {row['class_b']}"),
            number(row["errors_share"], ".1f"),
            number(row["similarity"], ".3g"),
            *(
                (Cell(GAP), Cell(GAP))  # it is its own teacher
                if row["method"] == TEACHER
                else (
                    number(row["similarity_teacher"], ".3g"),
                    number(row["similarity_difference"], "+.2g"),
                )
            ),
        )
        for row in head.to_dict("records")
    )
    notes = [
        "Errors: share of all wrong pixels that confuse these two classes, in either direction, over all "
        f"images and seeds. Shown are the {NUM_DISPLAYED} pairs with the most errors; pairs.csv has all.",
        "KL: mean of both directions, in nats, at the end of training; small values mean that the network "
        "predicts the two classes at similar positions. Teacher: the same pair in the teacher. Difference: "
        "network − teacher.",
        *correlation_sentences(pairs),
    ]
    headers = ("Network", "Method", "Class pair", "Errors %", "KL", "KL, teacher", "Difference")
    return Display(
        "pairs", "Which classes are confused, and how similar they are", headers, lines, tuple(notes), 3
    )


def _compared_runs(results: Results, focus: str) -> Iterator[tuple[str, str, list[Run]]]:
    candidates: list[tuple[str, str, Sequence[Run]]] = [(results.teacher.student, TEACHER, [results.teacher])]
    for student in results.students:
        for method in dict.fromkeys((ALONE, focus)):
            candidates.append((student, method, results.of(student, method)))
    for student, method, runs in candidates:
        whole = [run for run in runs if run.confusion is not None and run.ics is not None]
        if whole:
            yield student, method, whole


def _errors(runs: Sequence[Run]) -> Matrix:
    """Pixels confused between each pair of classes, [C, C], symmetric; 0 on the diagonal."""
    total = np.sum([run.confusion.sum(axis=0) for run in runs if run.confusion is not None], axis=0)
    both: Matrix = (total + total.T).astype(np.float64)
    np.fill_diagonal(both, 0)
    return both


def _truth(runs: Sequence[Run]) -> NDArray[np.int64]:
    """Labelled pixels of each class, [C]."""
    counts: NDArray[np.int64] = np.sum(
        [run.confusion.sum(axis=(0, 2)) for run in runs if run.confusion is not None], axis=0
    )
    return counts


def _meaning(rho: float) -> str:
    if abs(rho) < 0.2:
        return "How similar two classes are says little about how often they are confused."
    if rho > 0:
        return "Similar classes are confused more often."
    return "Similar classes are confused less often, contrary to what ICSD assumes."
