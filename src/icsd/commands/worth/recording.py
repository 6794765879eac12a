"""What ``worth`` sends to MLflow in addition to its trainings: a parent run with gains and verdict."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from icsd import tracking
from icsd.params import Params
from icsd.reporting.statistics.sequential import Standing
from icsd.tracking import Tag, Tracker, worth_experiment_name

_ASKED = "icsd.worth"
"""Prefix of the tags with the question, such as ``icsd.worth.margin``."""


def record_standings(root: Path, params: Params, *, group: str, standings: Mapping[str, Standing]) -> None:
    """Add every method's standing to the parent run, with the number of seeds as the step."""
    with _parent(root, params, group) as parent:
        for method, each in standings.items():
            values = {
                "gain": each.mean,
                "low": each.low,
                "high": each.high,
                "surely_above": each.surely_above,
                "surely_below": each.surely_below,
            }
            known = {f"{method}/{name}": value for name, value in values.items() if isfinite(value)}
            parent.log(known, step=each.n)


def record_verdict(
    root: Path, params: Params, *, group: str, asked: Mapping[str, Any], verdict: str, paragraph: str
) -> None:
    """Add the question and its answer to the parent run.

    They are tags, since MLflow lets no parameter change, and the next question may have another margin.
    """
    with _parent(root, params, group) as parent:
        parent.tags(
            {Tag.VERDICT: verdict, **{f"{_ASKED}.{name}": _text(value) for name, value in asked.items()}}
        )
        parent.text(paragraph, "verdict.txt")


def _text(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _parent(root: Path, params: Params, group: str) -> Tracker:
    return tracking.open_parent(
        root=root,
        experiment=worth_experiment_name(params.dataset),
        group=group,
        enabled=params.tracking.enabled,
    )
