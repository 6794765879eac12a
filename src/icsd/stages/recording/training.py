"""What a training sends to MLflow. Nothing here can change a result."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icsd import tracking
from icsd.data.prepared import PreparedData
from icsd.monitoring.health import health_warnings
from icsd.params import Params
from icsd.records import GitRecord, MlflowRecord
from icsd.runs import RunKey
from icsd.stages.dataset import dataset_in
from icsd.stages.recording.pictures import ics_picture
from icsd.tracking import Tag, Tracker, experiment_name

if TYPE_CHECKING:
    from torch import Tensor

    from icsd.training.loop import Progress, Row


def open_tracker(root: Path, params: Params, key: RunKey, *, state: Path, active: bool) -> Tracker:
    """The MLflow run of a network of the pipeline.

    Args:
        root: The repository.
        params: The whole parameter tree.
        key: Which network it is.
        state: The run's state folder, which takes the journal.
        active: Whether this process records, as the first rank does.
    """
    return tracking.open_tracker(
        root=root,
        experiment=experiment_name(params.dataset),
        group=tracking.group_id(root, params.digest()),
        name=key.title,
        tags=coordinates(params, key),
        state=state / "tracking",
        enabled=active and params.tracking.enabled,
        system_metrics=params.tracking.system_metrics,
    )


def coordinates(params: Params, key: RunKey) -> dict[str, str]:
    """Tags by which the run of a network is found."""
    under_alw = not key.is_teacher and params.methods[key.method].alw
    return {
        Tag.KIND: "teacher" if key.is_teacher else "student",
        Tag.METHOD: key.method,
        Tag.STUDENT: key.network,
        Tag.SEED: str(key.seed),
        Tag.DATASET: params.dataset,
        Tag.STAGE_NAME: "train_teacher" if key.is_teacher else "distill" if under_alw else "baselines",
    }


class TrainingRecorder:
    """Records one training.

    Args:
        tracker: Takes the records.
        params: The whole parameter tree.
        key: Which network is trained.
    """

    def __init__(self, tracker: Tracker, params: Params, key: RunKey) -> None:
        self._tracker = tracker
        self._params = params
        self._key = key

    def start(self, numbers: dict[str, Any], data: PreparedData, progress: "Progress") -> None:
        """Record parameters, data, and the epochs that are trained already."""
        self._tracker.rewind(progress.epoch)
        self._tracker.params(own_parameters(numbers, self._key))
        reader = self._params.data.reader
        self._tracker.dataset(
            self._params.dataset, digest=data.digest[:32], source=reader, context="training"
        )
        for row in progress.history:  # a point that MLflow has already is not recorded twice
            self.epoch(row)

    def epoch(self, row: "Row") -> None:
        """Record a row of the history."""
        metrics = {column: value for column, value in row.items() if column != "epoch"}
        self._tracker.log(metrics, int(row["epoch"]))

    def similarity(self, finished: int, student: "Tensor", teacher: "Tensor", distance: float) -> None:
        """Record the similarity matrices [C, C] after ``finished`` epochs as a picture."""
        if not self._params.tracking.enabled:
            return
        if finished == 0:  # the history has no row for the state before training
            self._tracker.log({"similarity/distance": distance}, 0)
        picture = ics_picture(
            student.numpy(),
            teacher.numpy(),
            dataset_in(self._params.data).classes,
            title=f"{self._key.title} · epoch {finished} · distance {distance:.3g}",
        )
        self._tracker.image(picture, key="similarity/ics", step=finished)

    def end(self, folder: Path, history: Sequence["Row"], *, diverged: str | None) -> None:
        """Warn of a run that diverged or whose terms are out of balance, and store its files."""
        if diverged:
            print(
                f"warning: {self._key.title} diverged in {diverged}; the report will show a gap", flush=True
            )
            self._tracker.tags({Tag.DIVERGED: diverged})
        else:
            self.warn_of_health(history)
        for path in sorted(folder.iterdir()):
            self._tracker.artifact(path)
        if diverged:
            self._tracker.close("FAILED")

    def warn_of_health(self, history: Sequence["Row"]) -> None:
        """Print a sentence for each loss term that did nothing or everything, and tag the run with it."""
        if sentences := health_warnings(history, method=self._key.method):
            print(*(f"warning: {sentence}" for sentence in sentences), sep="\n", flush=True)
            self._tracker.tags({Tag.LOSS_HEALTH: "; ".join(sentences)})


def own_parameters(numbers: dict[str, Any], key: RunKey) -> dict[str, Any]:
    """The parameters that distinguish a network from the others of its execution.

    There are few, since MLflow prints all parameters of a run above each of its pictures. The parent run has
    the others, and train.json has all of them.
    """
    weights = numbers.get("method", {}).get("weights")
    method = {"name": key.method} | ({"weights": weights} if weights else {})
    own = {"network": {"backbone": key.network}, "seed": key.seed, "method": method}
    return own | ({"alw": {"decay": numbers["alw"]["decay"]}} if "alw" in numbers else {})


def mlflow_record(root: Path, params: Params, tracker: Tracker) -> MlflowRecord | None:
    """Where the run's curves and artifacts are; None with tracking off."""
    if not params.tracking.enabled:
        return None
    return MlflowRecord(
        experiment=experiment_name(params.dataset),
        run_id=tracker.run_id,
        uri=tracking.public_uri(root),
        key=tracker.key,
    )


def git_record(root: Path) -> GitRecord:
    """The commit that trained the network."""
    git = tracking.git_state(root)
    return GitRecord(commit=git.commit, dirty=git.dirty)
