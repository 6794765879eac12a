"""One record of the journal, sent to MLflow: what each kind means there."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from icsd.tracking.journal import Record
from icsd.tracking.messages import log
from icsd.tracking.names import Tag
from icsd.tracking.values import DIGEST_LENGTH

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# Answers that may be different tomorrow: no login yet, run not there, too slow, too many requests.
_PASSING_REFUSALS = (401, 403, 404, 408, 429)


def send(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    """Send one record; a value that the store refuses for good is reported and skipped.

    Args:
        client: Client of the store.
        run_id: The run.
        record: A record of the journal, or joined ``points``.
        folder: The journal's folder; the paths in records are relative to it.
    """
    try:
        _SENDERS[record["kind"]](client, run_id, record, folder)
    except Exception as error:
        if not _is_final(error):
            raise
        parts = list(_singles(record))
        if len(parts) < 2:
            log.warning("MLflow refuses %s: %s", json.dumps(record, default=str)[:200], error)
        for part in parts if len(parts) > 1 else ():
            send(client, run_id, part, folder)


def _is_final(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
        return 400 <= status < 500 and status not in _PASSING_REFUSALS
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError)
    return isinstance(error, ValueError | TypeError)


def _singles(record: Record) -> Iterator[Record]:
    """A record with many values as records with one, to find the one that is refused."""
    match record.get("values"):
        case dict() as values:
            yield from ({**record, "values": {key: value}} for key, value in values.items())
        case list() as values:
            yield from ({**record, "values": [value]} for value in values)


def _send_points(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(**point) for point in record["values"]], synchronous=True)


def _send_params(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    from mlflow.entities import Param

    values = [Param(key, value) for key, value in record["values"].items()]
    client.log_batch(run_id, params=values, synchronous=True)


def _send_tags(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    from mlflow.entities import RunTag

    values = [RunTag(key, value) for key, value in record["values"].items()]
    client.log_batch(run_id, tags=values, synchronous=True)


def _send_dataset(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": record["source"]})
    dataset = Dataset(record["name"], record["digest"][:DIGEST_LENGTH], "local", source)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", record["context"])])])


def _send_artifact(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    path = folder / record["path"]
    if path.is_dir():
        client.log_artifacts(run_id, str(path), str(Path(record["folder"]) / path.name))
    else:
        client.log_artifact(run_id, str(path), record["folder"] or None)


def _send_image(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    for file in record["files"]:
        client.log_artifact(run_id, str(folder / file), "images")
    client.set_tag(run_id, "mlflow.loggedImages", True, synchronous=True)


def _send_model(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    run = client.get_run(run_id)
    experiment_id = run.info.experiment_id
    ours = f"tags.`{Tag.KEY}` = '{record['model_key']}'"
    logged = next(iter(client.search_logged_models([experiment_id], ours)), None)
    if logged is not None and logged.status == LoggedModelStatus.READY:
        return
    logged = logged or client.create_logged_model(
        experiment_id, record["name"], run_id, {Tag.KEY: record["model_key"]}, run.data.params
    )
    description = Model.load(str(folder / record["path"]))
    description.artifact_path, description.run_id = logged.artifact_location, run_id
    description.model_id = description.model_uuid = logged.model_id
    description.save(str(folder / record["path"] / "MLmodel"))
    client.log_model_artifacts(logged.model_id, str(folder / record["path"]))
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=record["step"])])
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)


def _send_resume(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    client.update_run(run_id, status="RUNNING")


def _send_end(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    client.set_terminated(run_id, record["status"], record["time"])


def _send_settle(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    """End a run that had to be made again; one that has ended keeps its own status and time."""
    if client.get_run(run_id).info.status == "RUNNING":
        _send_end(client, run_id, record, folder)


_Sender = Callable[["MlflowClient", str, Record, Path], None]
_SENDERS: Mapping[str, _Sender] = {
    "points": _send_points,
    "params": _send_params,
    "tags": _send_tags,
    "dataset": _send_dataset,
    "artifact": _send_artifact,
    "image": _send_image,
    "model": _send_model,
    "resume": _send_resume,
    "end": _send_end,
    "settle": _send_settle,
}
