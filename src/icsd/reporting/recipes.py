"""What each method is made of: terms and weights, options, schedule, and what its variants differ in."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from icsd.records import TrainRecord
from icsd.reporting.protocol import has_terms, merged
from icsd.reporting.results import KD, Results, Run

FAMILY = (KD, "icsd", "aicsd")
"""Methods of which AICSD is made, so that their differences say what each part of it is worth."""

# What a block that says nothing stands for: the defaults of ICSD's constructor, which this package does not
# import, since that would load torch (a test holds the two equal).
ICSD_DEFAULTS: Mapping[str, str] = MappingProxyType({"variant": "paper", "rows": "raw"})
_SCORES = ("n_seeds", "miou_mean", "miou_std", "delta_mean", "delta_std", "p_holm")
_AGAINST_KD = ("kd_delta_mean", "kd_delta_std", "kd_p_holm")
# Which number of the schedule each decay reads.
_SHAPES = {"polynomial": "power", "exponential": "rate", "step": "steps", "constant": "constant"}


@dataclass(frozen=True)
class _Recipe:
    """The method's class, its terms' weights, other options, and the schedule (None without ALW)."""

    kind: str
    weights: Mapping[str, float]
    options: Mapping[str, Any]
    alw: Mapping[str, Any] | None


def methods(results: Results) -> pd.DataFrame:
    """One row per method: what it is, its weights and where they come from; gaps where nothing ran."""
    rows: list[dict[str, str | None]] = []
    for method in results.methods:
        runs = [run for run in results.runs.values() if run.method == method]
        rows.append({"method": method, "class": _kind(method, runs), **_texts(runs)})
    return pd.DataFrame(rows, columns=["method", "class", "terms", "options", "alw", "weights_source"])


def ablation(results: Results, comparison: pd.DataFrame) -> pd.DataFrame:
    """ICSD's family side by side: what differs, and what it reaches; empty with less than two members.

    Args:
        results: What ran.
        comparison: From :func:`icsd.reporting.tables.comparison`.
    """
    scores = comparison.set_index(["student", "method"])
    rows = []
    for student in results.students:
        for method in results.methods:
            runs = [results.runs[student, method, seed] for seed in results.seeds]
            kind = _kind(method, runs)
            if kind in FAMILY:
                found = scores.loc[(student, method), [*_SCORES, *_AGAINST_KD]].to_dict()
                rows.append(
                    {"student": student, "method": method, "class": kind} | _differences(runs) | found
                )
    parts = ["variant", "rows", "icsd_weight", "kd_weight", "alw_decay", "alw_scope"]
    columns = ["student", "method", "class", *parts, *_SCORES, *_AGAINST_KD]
    table = pd.DataFrame(rows if len({row["method"] for row in rows}) > 1 else [], columns=columns)
    numbers = [name for name in (*parts[2:4], *_SCORES, *_AGAINST_KD) if name != "n_seeds"]
    return table.astype(dict.fromkeys(numbers, float) | {"n_seeds": "Int64"})


def _kind(method: str, runs: list[Run]) -> str:
    """The class of the method, by its runs' records; its own name where nothing is recorded."""
    return next((_recipe(run.method, run.training).kind for run in runs if run.training), method)


def _recipe(method: str, training: TrainRecord) -> _Recipe:
    block = dict(training.params.get("method", {}))
    kind, under_alw = str(block.pop("method", method)), bool(block.pop("alw", False))
    weights = block.pop("weights", {})
    if kind in FAMILY and kind != KD:
        block = dict(ICSD_DEFAULTS) | block
    return _Recipe(kind, weights, block, training.params.get("alw", {}) if under_alw else None)


def _texts(runs: list[Run]) -> dict[str, str | None]:
    """Terms, options, schedule and source of the weights; one text each, naming runs where these differ."""
    recipes = [(run, _recipe(run.method, run.training), run.training) for run in runs if run.training]
    texts = {
        "terms": [(run, _listed(recipe.weights, " × ")) for run, recipe, _ in recipes],
        "options": [(run, _listed(recipe.options, " ")) for run, recipe, _ in recipes],
        "alw": [(run, _schedule(recipe.alw)) for run, recipe, _ in recipes],
        "weights_source": [
            (run, training.weights_source if has_terms(training) else None) for run, _, training in recipes
        ],
    }
    return {name: merged(values) or None if values else None for name, values in texts.items()}


def _listed(values: Mapping[str, Any], between: str) -> str | None:
    written = (
        f"{name}{between}{format(value, 'g') if isinstance(value, float) else value}"
        for name, value in values.items()
    )
    return ", ".join(written) or None


def _schedule(alw: Mapping[str, Any] | None) -> str | None:
    if alw is None:
        return None
    decay = str(alw.get("decay", "on"))
    shape = _SHAPES.get(decay, "")
    detail = f" ({shape} {alw[shape]:g})" if shape in alw else ""
    return f"{decay}{detail}, scope {alw['scope']}" if "scope" in alw else decay


def _differences(runs: list[Run]) -> dict[str, Any]:
    """What the rows of the ablation differ in, from the first run that recorded it."""
    training = next((run.training for run in runs if run.training), None)
    if training is None:
        return {}
    recipe = _recipe(runs[0].method, training)
    alw = recipe.alw or {}
    return {
        "variant": recipe.options.get("variant"),
        "rows": recipe.options.get("rows"),
        "icsd_weight": recipe.weights.get("icsd"),
        "kd_weight": recipe.weights.get("kd"),
        "alw_decay": alw.get("decay"),
        "alw_scope": alw.get("scope"),
    }
