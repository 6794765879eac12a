"""Where MLflow keeps its runs, and how a run is found or made there exactly once."""

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from filelock import FileLock

from icsd.files import write_json
from icsd.tracking.folders import main_root
from icsd.tracking.names import CHILD, PARENT, Tag

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # With its own settings (7 retries, doubling pauses) a lost server stops a training for minutes per call.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
_EXPERIMENT_NOTE = (
    "One row per execution of the pipeline (open it to see one run per trained network). "
    "The parent carries the comparison: mean scores per method, tables and figures. "
    "The same numbers are in the files of the pipeline: history.csv, metrics.json, reports/."
)
_PARENT_NOTE = (
    "One execution of the pipeline; its children are the trained networks. "
    "The report writes the summary and the figures."
)


@dataclass
class RunDescription:
    """What makes a run, now or when the server answers; kept in ``run.json`` beside the journal."""

    experiment: str
    group: str
    role: str
    """"parent" or "child"."""
    name: str
    tags: dict[str, str]
    run_id: str | None = None
    former: list[str] = field(default_factory=list)
    """Ids it had in stores that have lost it since."""
    key: str = field(default_factory=lambda: uuid4().hex)
    """Marks the run in the store: a process killed right after it made the run finds it again."""
    started: int = field(default_factory=lambda: int(time.time() * 1000))
    """Milliseconds since 1970."""

    def save(self, folder: Path) -> None:
        """Write ``run.json``."""
        write_json(folder / "run.json", asdict(self))

    @staticmethod
    def load(folder: Path) -> "RunDescription | None":
        """Read ``run.json``; None where there is none."""
        path = folder / "run.json"
        return RunDescription(**json.loads(path.read_bytes())) if path.exists() else None


def run_id_in(state: Path) -> str | None:
    """The MLflow run whose records ``state`` holds; None where it has none, or none yet."""
    run = RunDescription.load(state)
    return run.run_id if run else None


def store_location(root: Path) -> tuple[str, str | None]:
    """Tracking URI and the folder (as URI) for artifacts of new experiments; None leaves that to the server.

    ``MLFLOW_TRACKING_URI`` decides when it is set; otherwise runs lie in ``.mlflow`` of the repository, by
    absolute path, because stages run in other folders too.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri, None
    folder = main_root(root) / ".mlflow"
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def group_id(params_hash: str) -> str:
    """What all stages of one execution share: the name of DVC's experiment, else a hash of the parameters."""
    return os.environ.get("DVC_EXP_NAME") or f"workspace-{params_hash[:10]}"


def open_client(root: Path) -> "MlflowClient":
    """MLflow's client for the store of ``root``, with settings that do not block."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    for talkative in ("alembic", "mlflow.store.db.utils"):  # they announce every migration of a new database
        logging.getLogger(talkative).setLevel(logging.WARNING)
    return MlflowClient(store_location(root)[0])


def store_lock(root: Path) -> FileLock:
    """Held while a store is created and while a run is found or made: processes may start together."""
    folder = main_root(root) / ".mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "store.lock")


def attach(root: Path, run: RunDescription) -> tuple["MlflowClient", bool]:
    """A client for the store, in which ``run.run_id`` now exists.

    Returns:
        The client, and whether an earlier run is gone from the store, so that everything is to be sent again.
    """
    with store_lock(root):
        client = open_client(root)
        experiment_id = _experiment(client, run.experiment, store_location(root)[1])
        before = run.run_id
        if before is None or not _is_there(client, before):
            run.run_id = _find_or_create(client, experiment_id, run)
    lost = before is not None and before != run.run_id
    run.former += [before] if before is not None and lost else []
    return client, lost


def find_runs(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> list["Run"]:
    """The runs that carry all these tags, oldest first."""
    wanted = " and ".join(f"tags.`{key}` = {_quoted(value)}" for key, value in tags.items())
    found = client.search_runs([experiment_id], wanted, order_by=["attributes.start_time ASC"])
    return list(found)


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


def _experiment(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = f"{artifacts}/{quote(name)}" if artifacts else None
        return client.create_experiment(name, location, {"mlflow.note.content": _EXPERIMENT_NOTE})
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def _is_there(client: "MlflowClient", run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _find_or_create(client: "MlflowClient", experiment_id: str, run: RunDescription) -> str:
    if run.role == PARENT:
        return _parent(client, experiment_id, run.group, started=run.started, tags=run.tags)
    if found := find_runs(client, experiment_id, {Tag.KEY: run.key}):
        return str(found[0].info.run_id)
    parent = _parent(client, experiment_id, run.group, started=run.started, tags={})
    ours = {Tag.KEY: run.key, Tag.GROUP: run.group, Tag.ROLE: CHILD, "mlflow.parentRunId": parent}
    created = client.create_run(experiment_id, run.started, {**run.tags, **ours}, run.name)
    return str(created.info.run_id)


def _parent(
    client: "MlflowClient", experiment_id: str, group: str, *, started: int, tags: Mapping[str, str]
) -> str:
    mark = {Tag.GROUP: group, Tag.ROLE: PARENT}
    if found := find_runs(client, experiment_id, mark):
        return str(found[0].info.run_id)
    created = client.create_run(
        experiment_id, started, {"mlflow.note.content": _PARENT_NOTE, **tags, **mark}, group
    )
    return str(created.info.run_id)
