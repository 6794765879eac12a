"""Notes before a grid is trained: too few seeds, or slow arithmetic, cost a night and answer nothing."""

import csv
import json
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from statistics import fmean, variance

from icsd import machine
from icsd.params import Params
from icsd.runs import RunKey
from icsd.stages.validate import checked_params

Spread = tuple[float, int]
"""Variance of a difference over seeds, in squared percentage points, and its degrees of freedom."""


def foresight(root: Path) -> str | None:
    """A note if the grid of params.yaml cannot establish ``report.rope``, given the last results' deviation.

    Returns:
        The note; None without earlier results of two seeds, or if the grid is large enough.
    """
    params = checked_params(root)
    for folder, read in (("results", _of_results), ("reports", _of_report)):
        place = f"{folder}/{params.dataset}"
        spreads = list(read(root, params)) if (root / place).is_dir() else []
        if degrees := sum(each for _, each in spreads):
            deviation = sqrt(sum(value * each for value, each in spreads) / degrees)
            return _note(params, deviation, place)
    return None


def slow_precision(root: Path) -> str | None:
    """A note if params.yaml asks for bfloat16 and networks would train on a CPU without its instructions."""
    if machine.has_bfloat16() is not False:  # first: reading the parameters takes every training 0.1 s
        return None
    from icsd.stages.device import accelerator  # imports torch, for which `foresight` need not wait

    runtime = checked_params(root).runtime
    if runtime.precision != "bf16-mixed" or accelerator(runtime) != "cpu":
        return None
    return (
        f"note: runtime.precision is {runtime.precision} (runtime.mode: {runtime.mode}), but this CPU has no "
        "bfloat16 arithmetic: steps take many times as long as in 32-true. Set runtime.precision to 32-true; "
        "the other settings of `mode: fast` pay off here, too (docs/speed.md)"
    )


def _note(params: Params, deviation: float, place: str) -> str | None:
    # Imported here so that `validate` does not wait for SciPy and pandas if nothing was measured yet.
    from icsd.reporting.results import ALONE
    from icsd.reporting.statistics.decisions import MOST_SEEDS, seeds_for, smallest_of_grid, strictest_share
    from icsd.reporting.statistics.estimates import LEVEL

    methods, seeds, rope = len(params.grid.methods), len(params.grid.seeds), params.report.rope
    if ALONE not in params.grid.methods:
        return None
    smallest = smallest_of_grid(methods, seeds, deviation=deviation, level=LEVEL)
    if smallest is None or smallest <= rope:
        return None
    needed = seeds_for(rope, deviation, (0.0, 1), LEVEL * strictest_share(methods))
    enough = f"{needed} seeds" if needed else f"not even {MOST_SEEDS} seeds"
    return (
        f"note: {methods} methods × {seeds} seeds: differences to the student alone under {smallest:.1f} "
        f"points cannot be established, at the standard deviation of {deviation:.2f} points over seeds in "
        f"{place}. "
        f"For report.rope ({rope:g} points) {enough} would do; fewer methods need fewer (docs/statistics.md)."
    )


def _of_results(root: Path, params: Params) -> Iterator[Spread]:
    """Spreads from the runs of the grid that have been evaluated before."""
    from icsd.reporting.results import ALONE

    for student in params.grid.students:
        alone = _scores(root, params, ALONE, student)
        for method in params.grid.methods:
            own = {} if method == ALONE else _scores(root, params, method, student)
            gains = [100 * (own[seed] - alone[seed]) for seed in own.keys() & alone.keys()]
            if len(gains) > 1:
                yield variance(gains, fmean(gains)), len(gains) - 1


def _scores(root: Path, params: Params, method: str, student: str) -> dict[int, float]:
    """Seed -> mIoU; missing or damaged files are left out, since the report complains about them."""
    found = {}
    for seed in params.grid.seeds:
        path = root / RunKey(params.dataset, method, student, seed).results / "metrics.json"
        try:
            found[seed] = float(json.loads(path.read_text(encoding="utf-8"))["miou"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _of_report(root: Path, params: Params) -> Iterator[Spread]:
    """Spreads from the comparison of the last report."""
    path = root / "reports" / params.dataset / "comparison.csv"
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, csv.Error):
        return
    for row in rows:
        try:
            deviation, pairs = float(row["delta_std"]), int(row["n_pairs"])
        except (KeyError, TypeError, ValueError):
            continue
        if pairs > 1 and 0 <= deviation < float("inf"):
            yield deviation**2, pairs - 1
