"""Decides which method's network is champion: only an established difference replaces the current one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icsd.reporting.differences import Difference, Resampled, all_differences
from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.style import method_label
from icsd.reporting.tables.cells import p_value


@dataclass(frozen=True)
class Decision:
    """Who is champion now, and why.

    Attributes:
        method: The challenger that takes over; None when the champion stays.
        reason: One sentence.
    """

    method: str | None
    reason: str


def decide(champion: str, challengers: Mapping[str, Difference]) -> Decision:
    """Decide whether a challenger replaces the champion, by the same rule as the report's sentences.

    The challenger with the largest established positive difference takes over.

    Args:
        champion: Method of the current champion, named in the reason.
        challengers: Method -> its difference to the champion, with p corrected for all pairs of methods.
    """
    name = method_label(champion)
    tested = {
        method: (difference.mean, difference.p_holm, difference.n_pairs)
        for method, difference in challengers.items()
        if difference.mean is not None and difference.p_holm is not None
    }
    better = {method: gain for method, (gain, p, _) in tested.items() if p < LEVEL and gain > 0}
    if better:
        best = max(better, key=lambda method: better[method])
        gain, p, num_pairs = tested[best]
        return Decision(
            best,
            f"{method_label(best)} is {gain:.2f} points above {name}: {num_pairs} seeds, "
            f"corrected p {p_value(p)}",
        )
    if not tested:
        return Decision(
            None, f"{name} stays: no challenger can be tested, as none shares two seeds with it and differs"
        )
    least = min(tested, key=lambda method: tested[method][1])
    gain, p, _ = tested[least]
    return Decision(
        None,
        f"{name} stays: of {len(tested)} tested none is established as better at {LEVEL:.0%} "
        f"(smallest corrected p {p_value(p)}, {method_label(least)}, {gain:+.2f} points)",
    )


def first_champion(methods: Sequence[str]) -> str:
    """The champion's method before any comparison: the student alone if present, else the first method."""
    return ALONE if ALONE in methods else methods[0]


def champion_of(results: Results, student: str, resampled: Resampled) -> tuple[Run, str] | None:
    """The run of a student that would be champion in an empty registry, and the reason.

    It is the first seed of the best method, so that no score selects it. A registry's own champion may
    differ, because the registry remembers the champions of earlier grids.

    Args:
        results: Results of a grid.
        student: One of its students.
        resampled: From :func:`icsd.reporting.differences.resample`.

    Returns:
        None if no network of the student has a score.
    """
    methods = [method for method in results.methods if results.of(student, method)]
    if not methods:
        return None
    first = first_champion(methods)
    differences = all_differences(results, student, resampled)
    decision = decide(first, {each: differences[each, first] for each in methods if each != first})
    return results.of(student, decision.method or first)[0], decision.reason
