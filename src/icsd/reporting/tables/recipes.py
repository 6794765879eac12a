"""The recipe of a method in a run: class, weights, options and schedule, from the run's record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from icsd.records import TrainRecord
from icsd.reporting.results import KD, Run

FAMILY = (KD, "icsd", "aicsd")
"""AICSD and the methods that it combines; their differences show what each part of it is worth."""

# Copies of the defaults of ICSD's constructor, which this package does not import because that would load
# torch (a test compares the two).
ICSD_DEFAULTS: Mapping[str, str] = MappingProxyType({"variant": "paper", "rows": "raw"})


@dataclass(frozen=True)
class Recipe:
    """The method's class, the weights of its terms, other options, and the schedule (None without ALW)."""

    kind: str
    weights: Mapping[str, float]
    options: Mapping[str, Any]
    alw: Mapping[str, Any] | None


def recipe(method: str, training: TrainRecord) -> Recipe:
    """The recipe of one run.

    Args:
        method: The name of its block in params.yaml.
        training: The run's record.
    """
    block = dict(training.params.get("method", {}))
    kind, under_alw = str(block.pop("method", method)), bool(block.pop("alw", False))
    weights = block.pop("weights", {})
    if kind in FAMILY and kind != KD:
        block = dict(ICSD_DEFAULTS) | block
    return Recipe(kind, weights, block, training.params.get("alw", {}) if under_alw else None)


def kind_of(method: str, runs: Sequence[Run]) -> str:
    """The class of the method from its runs' records; its own name if there are none."""
    return next((recipe(run.method, run.training).kind for run in runs if run.training), method)


def has_terms(training: TrainRecord) -> bool:
    """Whether the run has weighted distillation terms; teachers and students alone have none."""
    return bool(training.params.get("method", {}).get("weights"))
