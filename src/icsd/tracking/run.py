"""One MLflow run: its description, and how it is found or created in the store exactly once."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from pydantic import TypeAdapter

from icsd.tracking.journal import Journal, read_progress
from icsd.tracking.lines import Record
from icsd.tracking.names import CHILD, PARENT, Tag
from icsd.tracking.pages import FORMER_NOTE, page_tags
from icsd.tracking.store import open_client, store_location, store_lock

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_PARENT_NOTE = (
    "One execution of the pipeline; its children are the trained networks. "
    "The report writes the summary and the figures."
)


@dataclass
class RunDescription:
    """Everything needed to create a run in the store, now or later; the first record of its journal.

    Attributes:
        experiment: MLflow's experiment.
        group: The execution of the pipeline that the run belongs to.
        role: ``PARENT`` or ``CHILD``.
        name: Name in MLflow's list of runs.
        tags: Tags that are set when the run is created.
        run_id: None until the run exists in the store.
        former: Earlier ids of the run, in stores that have lost it since.
        key: Marks the run in the store, so that it is found again if the process that created it is killed.
        started: Milliseconds since 1970.
    """

    experiment: str
    group: str
    role: str
    name: str
    tags: dict[str, str]
    run_id: str | None = None
    former: list[str] = field(default_factory=list)
    key: str = field(default_factory=lambda: uuid4().hex)
    started: int = field(default_factory=lambda: int(time.time() * 1000))

    def record(self) -> Record:
        """The journal's record of the run; without ids, which change and are in the journal's progress."""
        return {"kind": "run", **asdict(replace(self, run_id=None, former=[]))}

    @staticmethod
    def of(journal: Journal) -> "RunDescription | None":
        """The run of a journal; None if neither description nor id is known."""
        progress = journal.progress
        run_id, former = progress.run_id, progress.former
        ids = {"run_id": run_id, "former": former} if run_id else {}
        try:
            return _DESCRIPTION.validate_python({**(journal.run or _earlier(journal.folder)), **ids})
        except ValueError:  # the id alone still identifies an existing run
            return RunDescription("", "", CHILD, "", {}, run_id, former) if run_id else None


_DESCRIPTION = TypeAdapter(RunDescription)


def _earlier(folder: Path) -> Record:
    """The description from run.json, where earlier versions kept it."""
    try:
        content = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def run_id_in(state: Path) -> str | None:
    """The id of the MLflow run whose journal is in ``state``; None without a journal or an id yet."""
    try:
        return read_progress(state).run_id
    except (OSError, ValueError):
        return None


def attach(root: Path, run: RunDescription) -> tuple["MlflowClient", bool]:
    """Find or create the run in the store, and set ``run.run_id``.

    Returns:
        The store's client, and whether the store has lost an earlier run, so that everything must be sent
        again.
    """
    with store_lock(root):
        client, before = open_client(root), run.run_id
        if before is None or not is_there(client, before):
            experiment_id = _experiment(client, run.experiment, store_location(root)[1])
            run.run_id = _find_or_create(client, experiment_id, run)
    lost = before is not None and before != run.run_id
    run.former += [before] if before is not None and lost else []
    return client, lost


def find_runs(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> list["Run"]:
    """The runs that have all these tags, oldest first."""
    wanted = " and ".join(f"tags.`{key}` = {_quoted(value)}" for key, value in tags.items())
    return list(client.search_runs([experiment_id], wanted, order_by=["attributes.start_time ASC"]))


def run_id_of_key(client: "MlflowClient", experiment: str, key: str | None) -> str | None:
    """The id of the run with this key, for a run whose id was not known when it was recorded."""
    holder = client.get_experiment_by_name(experiment) if key else None
    runs = find_runs(client, holder.experiment_id, {Tag.KEY: str(key)}) if holder else []
    return str(runs[0].info.run_id) if runs else None


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


def _experiment(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = f"{artifacts}/{quote(name)}" if artifacts else None
        experiment = client.get_experiment(client.create_experiment(name, location))
    elif experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    for key, value in page_tags(experiment.experiment_id).items():
        if experiment.tags.get(key) in (None, FORMER_NOTE):
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return str(experiment.experiment_id)


def is_there(client: "MlflowClient", run_id: str) -> bool:
    """Whether the store has the run, and it has not been deleted."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _find_or_create(client: "MlflowClient", experiment_id: str, run: RunDescription) -> str:
    from mlflow.entities import RunTag

    if run.role == PARENT:
        return _parent(client, experiment_id, run)
    if twins := find_runs(client, experiment_id, {Tag.KEY: run.key}):
        twin = twins[0]
        if new := {key: value for key, value in run.tags.items() if twin.data.tags.get(key) != value}:
            client.log_batch(twin.info.run_id, tags=[RunTag(*tag) for tag in new.items()], synchronous=True)
        return str(twin.info.run_id)
    place = {Tag.GROUP: run.group, Tag.ROLE: CHILD, "mlflow.parentRunId": _parent(client, experiment_id, run)}
    created = client.create_run(experiment_id, run.started, {**run.tags, Tag.KEY: run.key, **place}, run.name)
    return str(created.info.run_id)


def _parent(client: "MlflowClient", experiment_id: str, run: RunDescription) -> str:
    """The id of the parent run of the group that ``run`` belongs to; created if missing."""
    marks = {Tag.GROUP: run.group, Tag.ROLE: PARENT}
    if parents := find_runs(client, experiment_id, marks):
        return str(parents[0].info.run_id)
    tags = {"mlflow.note.content": _PARENT_NOTE, **marks}
    return str(client.create_run(experiment_id, run.started, tags, run.group).info.run_id)
