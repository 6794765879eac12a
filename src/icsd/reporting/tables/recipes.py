"""What a method was made of in a run: its class, weights, options and schedule, from the run's record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from icsd.records import TrainRecord
from icsd.reporting.results import KD, Run

FAMILY = (KD, "icsd", "aicsd")
"""Methods of which AICSD is made, so that their differences say what each part of it is worth."""

# What a block that says nothing stands for: the defaults of ICSD's constructor, which this package does not
# import, since that would load torch (a test holds the two equal).
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
        training: Its record.
    """
    block = dict(training.params.get("method", {}))
    kind, under_alw = str(block.pop("method", method)), bool(block.pop("alw", False))
    weights = block.pop("weights", {})
    if kind in FAMILY and kind != KD:
        block = dict(ICSD_DEFAULTS) | block
    return Recipe(kind, weights, block, training.params.get("alw", {}) if under_alw else None)


def kind_of(method: str, runs: Sequence[Run]) -> str:
    """The class of the method, by its runs' records; its own name where nothing is recorded."""
    return next((recipe(run.method, run.training).kind for run in runs if run.training), method)


def has_terms(training: TrainRecord) -> bool:
    """Whether there is a distillation term to be weighted; not for teachers and students alone."""
    return bool(training.params.get("method", {}).get("weights"))
