"""Trainings that commands run themselves to compare students on the validation split."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from icsd import tracking
from icsd.data.prepared import VALIDATION
from icsd.files import remove_if_free
from icsd.params import MethodBlock, Params
from icsd.reporting.results import ALONE
from icsd.runs import RunKey
from icsd.stages.training.job import CHECKPOINT
from icsd.tracking import Tag, Tracker


def beside_the_student_alone(params: Params) -> Params:
    """The tree with the student alone among its methods, and one device: one process trains and records."""
    runtime = params.runtime.model_copy(update={"devices": 1, "num_nodes": 1})
    methods = {**params.methods, ALONE: MethodBlock(alw=False, weights={})}
    return params.model_copy(update={"runtime": runtime, "methods": methods})


def open_trial(
    root: Path,
    params: Params,
    key: RunKey,
    *,
    experiment: str,
    group: str,
    detail: str,
    described: Mapping[str, Mapping[str, Any]],
    journal: Path,
) -> Tracker:
    """The record of one trial, like that of any other training: in a journal first, then in MLflow.

    Args:
        root: The repository.
        params: The parameters of the grid.
        key: The student.
        experiment: MLflow's experiment.
        group: The parent run.
        detail: What distinguishes it from the other trials of its method.
        described: Its parameters, under the name of the command.
        journal: The journal's folder.
    """
    tracker = tracking.open_tracker(
        root=root,
        experiment=experiment,
        group=group,
        name=f"{key.method} · {key.network} · {detail}",
        tags={
            Tag.KIND: "trial",
            Tag.METHOD: key.method,
            Tag.STUDENT: key.network,
            Tag.SEED: str(key.seed),
            Tag.DATASET: params.dataset,
        },
        state=journal,
        enabled=params.tracking.enabled,
        system_metrics=params.tracking.system_metrics,
    )
    tracker.params({command: {**values, "split": VALIDATION} for command, values in described.items()})
    return tracker


def forget_journals(root: Path, params: Params, patterns: Iterable[Path]) -> None:
    """Remove the journals of finished trials, if MLflow has everything in them.

    Args:
        root: The repository.
        params: The parameters of the grid.
        patterns: Patterns of the trials' state folders; only their names may have stars.
    """
    if params.tracking.enabled and tracking.deliver_pending(root) > 0:
        return
    for pattern in patterns:
        for state in pattern.parent.glob(pattern.name):
            if not (state / CHECKPOINT).exists():
                remove_if_free(state)
