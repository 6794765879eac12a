"""Which method's network is champion: only a paired test over the seeds replaces one."""

from collections.abc import Mapping
from dataclasses import dataclass

from icsd.reporting.page.answer import LEVEL
from icsd.reporting.statistics.estimates import holm, paired_p
from icsd.reporting.style import method_label

Scores = Mapping[int, float]
"""Seed -> mIoU, a fraction."""


@dataclass(frozen=True)
class Decision:
    """Who is champion now, and why.

    Attributes:
        method: The challenger that takes over; None when the champion stays.
        reason: A sentence.
    """

    method: str | None
    reason: str


def decide(champion: str, incumbent: Scores, challengers: Mapping[str, Scores]) -> Decision:
    """Whether a challenger is better than the champion by a paired test on the same seeds.

    One paired t-test per challenger over the seeds that both have, corrected by Holm for their number. Of
    those that pass at 5 % and are higher, the one with the largest mean difference takes over.

    Args:
        champion: Its method, for the sentence.
        incumbent: Its scores.
        challengers: Method -> its scores on the same images.
    """
    differences = {
        method: [scores[seed] - incumbent[seed] for seed in sorted(scores.keys() & incumbent.keys())]
        for method, scores in challengers.items()
    }
    p_values = holm([paired_p(values) for values in differences.values()])
    corrected = {method: p for method, p in zip(differences, p_values, strict=True) if p is not None}
    gains = {method: sum(values) / len(values) for method, values in differences.items() if values}
    better = [method for method, p in corrected.items() if p < LEVEL and gains[method] > 0]
    name = method_label(champion)
    if better:
        best = max(better, key=lambda method: gains[method])
        return Decision(
            best,
            f"{method_label(best)} is {100 * gains[best]:.2f} points above {name}: paired t-test over "
            f"{len(differences[best])} seeds, p = {corrected[best]:.3g}, "
            f"corrected for {len(corrected)} challengers",
        )
    if not corrected:
        return Decision(
            None,
            f"{name} stays: no challenger can be tested, as none shares two seeds with it and differs",
        )
    least = min(corrected, key=lambda method: corrected[method])
    return Decision(
        None,
        f"{name} stays: of {len(corrected)} tested none is better by a paired test at {LEVEL:.0%} "
        f"(smallest corrected p = {corrected[least]:.2f}, {method_label(least)}, "
        f"{100 * gains[least]:+.2f} points)",
    )
