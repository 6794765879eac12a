"""What an evaluation adds to the MLflow run of a network: its scores, and the network as a loadable model."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from icsd import tracking
from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.errors import UserError
from icsd.params import Params
from icsd.records import CostRecord, MetricsRecord, MlflowRecord, TrainRecord, read_record
from icsd.runs import RunKey, main_root, state_root
from icsd.stages.recording.training import coordinates
from icsd.tracking import Tracker

if TYPE_CHECKING:
    from icsd.stages.evaluation.measurement import Evaluation, Measurement


def record_measurement(
    evaluation: "Evaluation", key: RunKey, measurement: "Measurement", *, folder: Path
) -> None:
    """Add the scores, metrics.json from ``folder`` and, with ``tracking.models``, a loadable model."""
    root, params = evaluation.root, evaluation.params
    tracker = open_amending(root, params, key, state="evaluations")
    if tracker is None:
        return
    record = measurement.record
    with tracker:
        step = read_record(root / key.folder / "train.json", TrainRecord).selected_epoch
        assert step is not None, "a run that diverged is not measured"
        tracker.log(dict(scores(record)), step)
        tracker.artifact(folder / "metrics.json", folder="results")
        if params.tracking.models:
            spec = tracking.ModelSpec(
                name=model_name(key),
                example=evaluation.split[0][0],
                input_scale=params.images.input_scale,
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
                metadata={"classes": list(record.classes), "weights_sha256": record.weights_sha256},
            )
            tracker.model(measurement.network, spec)


def open_amending(root: Path, params: Params, key: RunKey, *, state: str) -> Tracker | None:
    """Reopen the run that trained a network, to add to it; None without tracking or without such a run.

    Args:
        root: The repository.
        params: The parameters of this execution.
        key: The network.
        state: The folder in .state/ for records that are not delivered yet.
    """
    if not params.tracking.enabled:
        return None
    tracking.deliver_pending(root)
    trained = run_of(root / key.cost)
    if trained is None:
        return None
    return tracking.open_tracker(
        root=root,
        experiment=tracking.experiment_name(params.dataset),
        group=tracking.group_id(root, params.digest()),
        name=key.title,
        tags=coordinates(params, key),  # in case training could not create the run yet
        state=state_root() / state / "-".join(key.path.parts),
        run_id=trained.run_id,
        key=trained.key,
        amend=True,
        system_metrics=False,
    )


def model_name(key: RunKey) -> str:
    """The name of a network's model in MLflow, which allows no punctuation that its addresses use."""
    network = re.sub(r"[^A-Za-z0-9_-]+", "_", key.network)  # a teacher's may be a library's name
    return f"{key.method}-{network}-seed{key.seed}"


def scores(record: MetricsRecord) -> Iterator[tuple[str, float]]:
    """The scores by the names that MLflow shows, ``report/miou``; classes without a score are left out."""
    yield "report/miou", record.miou
    yield "report/pixel_accuracy", record.pixel_accuracy
    yield "report/class_accuracy", record.class_accuracy
    if record.agreement:
        for name, value in record.agreement.model_dump().items():
            yield f"report/agreement_{name}", value
    for name, iou in zip(record.classes, record.iou_per_class, strict=True):
        if iou is not None:
            yield f"report/iou/{name}", iou


def run_of(cost: Path) -> MlflowRecord | None:
    """The MLflow run that trained a network; None if tracking was off or the file is unreadable."""
    try:
        record = read_record(cost, CostRecord)
    except FileNotFoundError:
        return None
    except UserError as error:
        print(f"warning: these scores do not reach MLflow: {error}", flush=True)
        return None
    return recorded_run(record)


def recorded_run(cost: CostRecord) -> MlflowRecord | None:
    """The MLflow run in a network's costs, with its id or the key that leads to it; None without either."""
    if cost.mlflow is None or cost.mlflow.run_id:
        return cost.mlflow
    # A run that was trained while the server was unreachable gets its id on delivery, after this file.
    run_id = tracking.run_id_in(main_root() / cost.state / "tracking")
    return cost.mlflow.model_copy(update={"run_id": run_id}) if run_id or cost.mlflow.key else None
