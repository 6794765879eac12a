"""Compares runs: scores in percent, paired differences in points, their intervals and tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.statistics.decisions import Evidence
from icsd.reporting.statistics.estimates import LEVEL, estimate, holm
from icsd.reporting.statistics.intervals import Interval, interval
from icsd.reporting.statistics.resampling import (
    Values,
    resampled_miou,
    weights_for,
)


@dataclass(frozen=True, eq=False)
class Resampled:
    """The mIoU of every evaluated network on resamples of the test images.

    Attributes:
        values: (student, method, seed) of a run, the teacher's included -> [resamples], percent.
        num_images: Number of images in the reported split.
        num_clips: Number of clips that they come from; None where single images are drawn.
        weights: [resamples, images]; how often each image is in each resample.
    """

    values: Mapping[tuple[str, str, int], Values]
    num_images: int = 0
    num_clips: int | None = None
    weights: Values | None = None

    @property
    def num_blocks(self) -> int:
        """Number of units that are drawn independently: clips, or images."""
        return self.num_images if self.num_clips is None else self.num_clips

    def of(self, run: Run) -> Values | None:
        """The values of a run; None where its confusion matrices are missing."""
        return self.values.get((run.student, run.method, run.seed))


@dataclass(frozen=True)
class Difference:
    """The mIoU of one method minus that of another, paired by seed, in percentage points; None if unknown.

    Attributes:
        mean: Mean over the pairs of seeds.
        std: Sample standard deviation over the pairs.
        low: Lower end of the 95 % interval of the mean.
        high: Upper end.
        n_pairs: Number of seeds that both methods have.
        p: Two-sided p over the variance of both seeds and images; see :class:`Interval`.
        p_holm: ``p`` corrected for all pairs of methods of a student.
        evidence: What else follows from the interval; None without a p.
    """

    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    n_pairs: int = 0
    p: float | None = None
    p_holm: float | None = None
    evidence: Evidence | None = None

    @property
    def established(self) -> bool:
        """Whether the corrected p is below 5 %: the one rule behind every sentence, letter and decision."""
        return self.p_holm is not None and self.p_holm < LEVEL

    def __neg__(self) -> "Difference":
        mean, low, high = (None if value is None else -value for value in (self.mean, self.low, self.high))
        turned = replace(self.evidence, mean=-self.evidence.mean) if self.evidence else None
        return replace(self, mean=mean, low=high, high=low, evidence=turned)

    def columns(self) -> dict[str, Any]:
        """The difference as columns of a table."""
        ends = {"delta_low": self.low, "delta_high": self.high}
        tests = {"n_pairs": self.n_pairs, "p": self.p, "p_holm": self.p_holm}
        return {"delta_mean": self.mean, "delta_std": self.std, **ends, **tests}


Differences = Mapping[tuple[str, str], Difference]
"""(method, other method) -> the first minus the second, for every pair of methods in both orders."""


def resample(results: Results, *, resamples: int, seed: int, clips: str | None = None) -> Resampled:
    """The mIoU of every evaluated network, all on the same resamples of the test images.

    Args:
        results: Results of a grid.
        resamples: Number of resamples.
        seed: Seed of the draws.
        clips: Pattern of the clip's name at the start of an image's name; None if images are independent.

    Raises:
        UserError: The pattern does not match an image's name.
    """
    runs = [run for run in results.evaluated() if run.confusion is not None]
    if not runs:
        return Resampled({})
    ids = runs[0].ids
    weights, num_clips = weights_for(ids, resamples=resamples, seed=seed, clips=clips)
    values = {
        (run.student, run.method, run.seed): 100 * resampled_miou(run.confusion, weights)
        for run in runs
        if run.confusion is not None
    }
    return Resampled(values, len(ids), num_clips, weights)


def scores(runs: Sequence[Run]) -> list[float]:
    """The mIoU of each evaluated run, percent."""
    return [100 * run.metrics.miou for run in runs if run.metrics]


def score_interval(runs: Sequence[Run], resampled: Resampled) -> Interval | None:
    """A 95 % interval of the mean mIoU of runs that differ in their seeds only, percent."""
    return _interval(scores(runs), [resampled.of(run) for run in runs], resampled.num_blocks)


@lru_cache(maxsize=8)  # several tables of one report need the same
def all_differences(results: Results, student: str, resampled: Resampled) -> Differences:
    """Compare every pair of methods of a student, as the report's only family of tests.

    Everything the report says about two methods comes from here, so no sentence, letter or table can
    contradict another, and all its claims about a student hold together in 95 of 100 reports (Holm). Half of
    the error rate is for the differences to the student alone, which the report is about; without them, all
    pairs have equal shares.
    """
    pairs = list(combinations(results.methods, 2))
    found = [
        _difference(results.of(student, ours), results.of(student, theirs), resampled)
        for ours, theirs in pairs
    ]
    to_alone = [ALONE in pair for pair in pairs]
    tested = [each.p is not None for each in found]
    counts = {
        kind: sum(t for t, a in zip(tested, to_alone, strict=True) if a is kind) for kind in (True, False)
    }
    weights = [1 / max(counts[kind], 1) for kind in to_alone]
    corrected = holm([each.p for each in found], weights)
    table: dict[tuple[str, str], Difference] = {}
    total = sum(weight for weight, is_tested in zip(weights, tested, strict=True) if is_tested)
    for (ours, theirs), each, p, weight in zip(pairs, found, corrected, weights, strict=True):
        evidence = replace(each.evidence, level=LEVEL * weight / total) if each.evidence else None
        table[ours, theirs] = replace(each, p_holm=p, evidence=evidence)
        table[theirs, ours] = -table[ours, theirs]
    return table


def _difference(runs: Sequence[Run], references: Sequence[Run], resampled: Resampled) -> Difference:
    """Runs minus references, paired by seed."""
    by_seed = {run.seed: run for run in references}
    pairs = [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]
    values = [
        100 * (ours.metrics.miou - theirs.metrics.miou)
        for ours, theirs in pairs
        if ours.metrics and theirs.metrics
    ]
    estimated = estimate(values)
    if estimated is None:
        return Difference()
    known = [(resampled.of(ours), resampled.of(theirs)) for ours, theirs in pairs]
    span = _interval(
        values,
        [None if ours is None or theirs is None else ours - theirs for ours, theirs in known],
        resampled.num_blocks,
    )
    difference = Difference(estimated.mean, estimated.std, n_pairs=estimated.n)
    if span is None:
        return difference
    evidence = None
    if span.p is not None and span.variances is not None:
        evidence = Evidence(estimated.mean, *span.variances, level=LEVEL)
    return replace(difference, low=span.low, high=span.high, p=span.p, evidence=evidence)


def _interval(values: list[float], resampled: Sequence[Values | None], num_blocks: int) -> Interval | None:
    """None without values, with one image or clip, or where the confusion matrices of a run are missing."""
    known = [each for each in resampled if each is not None]
    if not known or len(known) < len(values) or num_blocks < 2:
        return None
    return interval(values, np.stack(known), num_images=num_blocks)
