"""What a search sends to MLflow: a run per trial, and a parent run with what was chosen."""

from pathlib import Path

from icsd import tracking
from icsd.data.prepared import VALIDATION
from icsd.params import Params
from icsd.stages.tuned_weights import Search, tuned_path
from icsd.tracking import Tag, Tracker, tuning_experiment_name


def open_trial_tracker(
    root: Path, params: Params, *, group: str, method: str, student: str, factor: float, journal: Path
) -> Tracker:
    """The record of one trial, like that of any other training: in a journal first, then in MLflow."""
    tracker = tracking.open_tracker(
        root=root,
        experiment=tuning_experiment_name(params.dataset),
        group=group,
        name=f"{method} · {student} · factor {factor:g}",
        tags={
            Tag.KIND: "trial",
            Tag.METHOD: method,
            Tag.STUDENT: student,
            Tag.SEED: str(params.tuning.seed),
            Tag.DATASET: params.dataset,
        },
        state=journal,
        enabled=params.tracking.enabled,
        system_metrics=params.tracking.system_metrics,
    )
    tracker.params({"tuning": {"factor": factor, "split": VALIDATION}})
    return tracker


def record_choice(
    root: Path, params: Params, *, group: str, method: str, student: str, search: Search
) -> None:
    """Add what was chosen for a method, and the files of tuned weights, to the parent run."""
    with tracking.open_parent(
        root=root,
        experiment=tuning_experiment_name(params.dataset),
        group=group,
        enabled=params.tracking.enabled,
    ) as parent:
        parent.params({"tuning": params.tuning.model_dump(), "student": student})
        values = {"factor": search.factor, "miou": search.miou, "miou_alone": search.miou_alone}
        parent.log({f"{method}/{name}": value for name, value in values.items()}, step=search.trials)
        for suffix in (".yaml", ".csv"):
            parent.artifact(root / tuned_path(params.dataset).with_suffix(suffix))
