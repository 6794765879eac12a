"""Differences to the student alone: how likely they are, and what would establish them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from icsd.reporting.differences import Difference, Resampled, all_differences, scores
from icsd.reporting.results import ALONE, Results
from icsd.reporting.statistics.decisions import MOST_SEEDS
from icsd.reporting.statistics.ranking import agreement_of_seeds, first_shares, least_agreement
from icsd.reporting.style import network_label
from icsd.reporting.tables.cells import (
    GAP,
    Cell,
    Display,
    missing,
    number,
    signed,
    span,
    spread,
    whole_percent,
)
from icsd.reporting.tables.columns import Column, Row, by_difference, corrected_p, method, network, to_display

_DIFFERENCE = ("delta_mean", "delta_std", "delta_low", "delta_high", "n_pairs", "p", "p_holm")
_NUMBERS = (
    *("rope", "prob_positive", "prob_relevant", "prob_negligible", "smallest"),
    *("first_share", "tau_seeds", "tau_least"),
)
_COLUMNS = ("student", "method", *_DIFFERENCE, *_NUMBERS, "seeds_needed")


def rows(results: Results, resampled: Resampled, *, rope: float) -> pd.DataFrame:
    """One row per student and method that has all seeds (at least two); empty if nothing can be tested.

    About the difference to the student alone, from its interval: ``prob_positive``, ``prob_relevant`` and
    ``prob_negligible``, the probability in percent that it is above 0, above ``rope`` and within ± ``rope``;
    ``smallest``, the smallest difference that these seeds and images could have established, and
    ``seeds_needed``, the number of seeds that would establish the measured one, both at the strictest step of
    the correction. About the order of methods: ``first_share``, the percentage of resamples in which the
    method has the highest mean; ``tau_seeds``, Kendall's τ between two seeds; ``tau_least``, the lower end of
    the 95 % interval of τ between this order and the true one.
    """
    table: list[dict[str, Any]] = []
    for student in results.students:
        differences = all_differences(results, student, resampled)
        shares = _first_shares(results, student, resampled)
        if not shares:
            continue
        pairs = {frozenset(pair): each for pair, each in differences.items() if each.p is not None}
        least = (
            least_agreement(sum(each.established for each in pairs.values()), len(pairs)) if pairs else None
        )
        order = {"tau_seeds": agreement_of_seeds(_matrix(results, student, list(shares))), "tau_least": least}
        for name, share in shares.items():
            difference = differences.get((name, ALONE), Difference())
            own = {"student": student, "method": name, "rope": rope, "first_share": 100 * share}
            table.append(own | order | difference.columns() | _decided(difference, rope))
    numbers = [name for name in (*_DIFFERENCE, *_NUMBERS) if name != "n_pairs"]
    frame = pd.DataFrame(table, columns=list(_COLUMNS)).astype(dict.fromkeys(numbers, float))
    return frame.astype(dict.fromkeys(("n_pairs", "seeds_needed"), "Int64"))


def display(table: pd.DataFrame) -> Display:
    """Format the decisions."""
    rope = f"{table['rope'].iloc[0]:g}"
    columns: list[Column] = [
        ("Network", network),
        ("Method", method),
        ("Δ alone", lambda row: spread(row["delta_mean"], row["delta_std"], signed=True)),
        ("95 % interval of Δ", lambda row: span(row["delta_low"], row["delta_high"], signed=True)),
        ("P(Δ > 0) %", lambda row: _percent(row["prob_positive"])),
        (f"P(Δ > {rope}) %", lambda row: _percent(row["prob_relevant"])),
        (f"P(|Δ| < {rope}) %", lambda row: _percent(row["prob_negligible"])),
        ("p (Holm)", corrected_p),
        ("Smallest Δ", lambda row: number(row["smallest"], ".2f")),
        ("Seeds needed", _needed),
        ("First in %", lambda row: _percent(row["first_share"])),
    ]
    notes = [*_notes(rope), *order_notes(table)]
    return to_display("decisions", "What the differences decide", by_difference(table), columns, notes)


def order_notes(table: pd.DataFrame) -> list[str]:
    """A sentence per student: how similar the orders of two seeds are, and bounds for the true order."""
    notes = []
    for student, own in table.groupby("student", sort=False):
        if pd.isna(own["tau_seeds"].iloc[0]) or pd.isna(own["tau_least"].iloc[0]):
            continue
        between, least = (signed(own[name].iloc[0]) for name in ("tau_seeds", "tau_least"))
        notes.append(
            f"{network_label(str(student))}, ranking of {len(own)} methods: Kendall's τ between two seeds is "
            f"{between} on average; between this ranking and the true one it is {least} to +1 "
            "(95 % interval, from the pairs that are told apart)."
        )
    return notes


def _decided(difference: Difference, rope: float) -> dict[str, Any]:
    evidence = difference.evidence
    if evidence is None:
        return {}
    needed = evidence.seeds_needed
    if difference.established:  # at a later, less strict step of the correction
        needed = min(needed or difference.n_pairs, difference.n_pairs)
    return {
        "prob_positive": 100 * evidence.above(0),
        "prob_relevant": 100 * evidence.above(rope),
        "prob_negligible": 100 * evidence.within(rope),
        "smallest": evidence.smallest,
        "seeds_needed": needed,
    }


def _first_shares(results: Results, student: str, resampled: Resampled) -> dict[str, float]:
    """Method -> share of resamples in which it has the highest mean, among methods that have all seeds."""
    names = _complete(results, student)
    if len(names) < 2 or len(results.seeds) < 2:
        return {}
    values = [[resampled.of(run) for run in results.of(student, name)] for name in names]
    means = [
        np.mean([each for each in own if each is not None], axis=0)
        for own in values
        if all(each is not None for each in own)
    ]
    num_blocks = resampled.num_blocks
    if len(means) < len(names) or num_blocks < 2:
        return {}
    matrix = _matrix(results, student, names)
    shares = first_shares(matrix, np.stack(means), num_blocks=num_blocks, seed=len(names))
    return dict(zip(names, shares.tolist(), strict=True))


def _complete(results: Results, student: str) -> list[str]:
    return [name for name in results.methods if len(results.of(student, name)) == len(results.seeds)]


def _matrix(results: Results, student: str, names: Sequence[str]) -> np.ndarray:
    """[methods, seeds], percent."""
    return np.array([scores(results.of(student, name)) for name in names])


def _percent(value: Any) -> Cell:  # noqa: ANN401 - a number, NaN or NA out of a data frame
    return Cell(GAP) if missing(value) else Cell(whole_percent(value).removesuffix(" %"), float(value))


def _needed(row: Row) -> Cell:
    if missing(row["prob_positive"]):
        return Cell(GAP)
    if missing(row["seeds_needed"]):
        return Cell(f"> {MOST_SEEDS}", float(MOST_SEEDS + 1))
    return number(row["seeds_needed"], "d")


def _notes(rope: str) -> list[str]:
    return [
        "P: probability that the true difference is above 0, relevant, or negligible, from the intervals at "
        f"all levels (the confidence distribution). A difference is relevant from {rope} points on "
        "(`report.rope`).",
        "Smallest Δ: the smallest difference that these seeds and images could have established, at the "
        "variance of this row and the strictest step of the correction. Seeds needed: the number of seeds "
        "that would establish the Δ of this row if it and its variance stayed as they are; a true difference "
        f"of exactly this size is then established about half of the time. > {MOST_SEEDS}: the difference is "
        "close to zero, or the choice of images hides it, which more seeds cannot change.",
        "First: share of resamples of trainings and images in which the method ranks first.",
    ]
