"""What a search sends to MLflow in addition to its trials: a parent run with the choice."""

from pathlib import Path

from icsd import tracking
from icsd.params import Params
from icsd.stages.tuned_weights import Search, tuned_path
from icsd.tracking import tuning_experiment_name


def record_choice(
    root: Path, params: Params, *, group: str, method: str, student: str, search: Search
) -> None:
    """Add the choice for a method, and the files of tuned weights, to the parent run.

    Its parameters are what all its searches share: the next one may have more trials or a wider range.
    """
    with tracking.open_parent(
        root=root,
        experiment=tuning_experiment_name(params.dataset),
        group=group,
        enabled=params.tracking.enabled,
    ) as parent:
        parent.params({"tuning": {"epochs": search.epochs, "seed": search.seed}, "student": student})
        values = {
            "factor": search.factor,
            "miou": search.miou,
            "miou_alone": search.miou_alone,
            "trials": search.trials,
            "range": search.range,
        }
        parent.log({f"{method}/{name}": value for name, value in values.items()}, step=search.trials)
        for suffix in (".yaml", ".csv"):
            parent.artifact(root / tuned_path(params.dataset).with_suffix(suffix))
