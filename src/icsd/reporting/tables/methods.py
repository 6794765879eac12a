"""The methods: class, terms and weights, options, and schedule."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from icsd.core.weighting import DECAYS
from icsd.reporting.results import Results, Run
from icsd.reporting.tables.cells import Display
from icsd.reporting.tables.columns import Column, method, text, to_display
from icsd.reporting.tables.merging import merged
from icsd.reporting.tables.recipes import has_terms, kind_of, recipe


def rows(results: Results) -> pd.DataFrame:
    """One row per method: class, terms, options, schedule, and source of the weights; gaps without runs."""
    table: list[dict[str, str | None]] = []
    for name in results.methods:
        runs = [run for run in results.runs.values() if run.method == name]
        table.append({"method": name, "class": kind_of(name, runs), **_texts(runs)})
    return pd.DataFrame(table, columns=["method", "class", "terms", "options", "alw", "weights_source"])


def display(table: pd.DataFrame) -> Display:
    """Format the methods."""
    columns: list[Column] = [
        ("Method", method),
        ("Class", lambda row: text(row["class"])),
        ("Terms × weights", lambda row: text(row["terms"])),
        ("Options", lambda row: text(row["options"])),
        ("ALW", lambda row: text(row["alw"])),
        ("Weights", lambda row: text(row["weights_source"])),
    ]
    notes = [
        "Terms in addition to cross-entropy, each × its weight; unweighted losses: in the class's file.",
        "Weights: published (converted to this project's normalisation), tuned on the validation split with "
        "the same number of trials for each method, or set by hand.",
    ]
    return to_display("methods", "Methods", table, columns, notes, num_labels=len(columns))


def _texts(runs: Sequence[Run]) -> dict[str, str | None]:
    """One text each for terms, options, schedule and source of weights, naming runs where they differ."""
    recipes = [(run, recipe(run.method, run.training), run.training) for run in runs if run.training]
    texts = {
        "terms": [(run, _listed(own.weights, " × ")) for run, own, _ in recipes],
        "options": [(run, _listed(own.options, " ")) for run, own, _ in recipes],
        "alw": [(run, _schedule(own.alw)) for run, own, _ in recipes],
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
    numbers = DECAYS[decay].numbers if decay in DECAYS else ()
    details = ", ".join(f"{name} {alw[name]:g}" for name in numbers if name in alw)
    detail = f" ({details})" if details else ""
    return f"{decay}{detail}, scope {alw['scope']}" if "scope" in alw else decay
