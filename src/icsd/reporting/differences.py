"""Runs compared with runs: scores in percent, paired differences in points, their intervals and tests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from icsd.reporting.results import Results, Run
from icsd.reporting.statistics.estimates import estimate, paired_p
from icsd.reporting.statistics.intervals import Interval, interval
from icsd.reporting.statistics.resampling import Values, image_weights, resampled_miou

Resampled = Mapping[tuple[str, str, int], Values]
"""(student, method, seed) -> mIoU on every resample of the images, percent; the teacher by its own names."""


def resample(results: Results, *, resamples: int, seed: int) -> Resampled:
    """The mIoU of every evaluated network, all on the same resamples of the test images."""
    runs = [run for run in results.evaluated() if run.confusion is not None]
    if not runs:
        return {}
    weights = image_weights(len(runs[0].ids), resamples=resamples, seed=seed)
    return {
        _key(run): 100 * resampled_miou(run.confusion, weights) for run in runs if run.confusion is not None
    }


def scores(runs: Sequence[Run]) -> list[float]:
    """The mIoU of each evaluated run, percent."""
    return [100 * run.metrics.miou for run in runs if run.metrics]


def score_interval(runs: Sequence[Run], resampled: Resampled) -> Interval | None:
    """A 95 % interval of the mean mIoU of runs that differ in their seeds only, percent."""
    return _interval(scores(runs), [resampled.get(_key(run)) for run in runs], _num_images(runs))


def paired_differences(runs: Sequence[Run], references: Sequence[Run]) -> list[float]:
    """The difference in mIoU for every seed that both sides have, percentage points."""
    return [
        100 * (ours.metrics.miou - theirs.metrics.miou)
        for ours, theirs in _pairs(runs, references)
        if ours.metrics and theirs.metrics
    ]


def difference(runs: Sequence[Run], references: Sequence[Run], resampled: Resampled) -> dict[str, Any]:
    """Columns of a table about runs minus references, paired by seed, percentage points.

    Returns:
        ``delta_mean``, ``delta_std``, ``delta_low`` and ``delta_high`` (the 95 % interval), ``n_pairs``,
        ``p`` (of :func:`icsd.reporting.statistics.estimates.paired_p`); None for what cannot be had.
    """
    values = paired_differences(runs, references)
    estimated = estimate(values)
    pairs = [
        (resampled.get(_key(ours)), resampled.get(_key(theirs))) for ours, theirs in _pairs(runs, references)
    ]
    span = _interval(
        values,
        [None if ours is None or theirs is None else ours - theirs for ours, theirs in pairs],
        _num_images(runs),
    )
    return {
        "delta_mean": estimated.mean if estimated else None,
        "delta_std": estimated.std if estimated else None,
        "delta_low": span.low if span else None,
        "delta_high": span.high if span else None,
        "n_pairs": estimated.n if estimated else 0,
        "p": paired_p(values),
    }


def _pairs(runs: Sequence[Run], references: Sequence[Run]) -> list[tuple[Run, Run]]:
    by_seed = {run.seed: run for run in references}
    return [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]


def _interval(values: list[float], resampled: Sequence[Values | None], num_images: int) -> Interval | None:
    """None without values, with a single image, or where the confusion matrices of a run are missing."""
    known = [each for each in resampled if each is not None]
    if not known or len(known) < len(values) or num_images < 2:
        return None
    return interval(values, np.stack(known), num_images=num_images)


def _num_images(runs: Sequence[Run]) -> int:
    return len(runs[0].ids) if runs else 0


def _key(run: Run) -> tuple[str, str, int]:
    return run.student, run.method, run.seed
