"""Sends records of the journal to MLflow, each kind with its own request."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icsd.tracking.lines import Line, Record
from icsd.tracking.messages import log
from icsd.tracking.names import Tag
from icsd.tracking.run import is_there
from icsd.tracking.values import DIGEST_LENGTH

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# HTTP status codes for uploads that will never be accepted: too large, of a wrong type, …
_REFUSED_UPLOADS = (400, 411, 413, 414, 415, 422)


def batched(lines: Iterable[Line]) -> Iterator[tuple[list[Line], Record]]:
    """The records to send, in order, each with its lines; records that fit one request are joined."""
    joined: list[Line] = []
    items: list[tuple[str, Any]] = []
    for line in lines:
        record = line.record or {"kind": "run"}
        if (new := _items(record)) is not None:
            joined.append(line)
            items += new
            continue
        if joined:
            yield joined, {"kind": "batch", "items": items}
            joined, items = [], []
        yield [line], record
    if joined:
        yield joined, {"kind": "batch", "items": items}


def _items(record: Record) -> list[tuple[str, Any]] | None:
    """The values of a record that a batch may hold; None for others."""
    try:
        match record["kind"]:
            case "metrics":
                place = {"timestamp": record["time"], "step": record["step"]}
                return [
                    ("metric", {"key": key, "value": value, **place})
                    for key, value in record["values"].items()
                ]
            case "params" | "tags" as kind:
                return [(kind, pair) for pair in record["values"].items()]
    except (KeyError, AttributeError):
        pass  # sent as it is, the malformed record is refused with a warning
    return None


def send(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    """Send one record; a value that the store refuses permanently is skipped with a warning.

    Args:
        client: Client of the store.
        run_id: The run.
        record: A record of the journal, or a joined ``batch``.
        folder: The journal's folder; the paths in records are relative to it.
    """
    try:
        _SENDERS[record["kind"]](client, run_id, record, folder)
    except Exception as error:
        if not _is_final(error, folder):
            raise
        if not is_there(client, run_id):
            raise RuntimeError(f"run {run_id} was deleted") from error
        items = record.get("items", ())
        if len(items) < 2:
            log.warning("MLflow refuses %s: %s", json.dumps(record, default=str)[:200], error)
            return
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):
            send(client, run_id, {**record, "items": half}, folder)


def _is_final(error: Exception, folder: Path) -> bool:
    """Whether the same request can never succeed, even when the store and the network work.

    Of MLflow's error codes only that of its validation counts, since a damaged database answers 400 too.
    """
    from mlflow.exceptions import MlflowException

    match error:
        case MlflowException():
            return bool(error.error_code == "INVALID_PARAMETER_VALUE")
        case FileNotFoundError():  # our own copy; one in the store's folder would be the store's failure
            return Path(error.filename or "/").is_relative_to(folder)
        case OSError():
            status = getattr(getattr(error, "response", None), "status_code", None)
            return status in _REFUSED_UPLOADS
    return isinstance(error, ValueError | TypeError | KeyError | AttributeError)


def _send_batch(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    from mlflow.entities import Metric, Param, RunTag

    items = record["items"]
    client.log_batch(
        run_id,
        metrics=[Metric(**value) for kind, value in items if kind == "metric"],
        params=[Param(*value) for kind, value in items if kind == "params"],
        tags=[RunTag(*value) for kind, value in items if kind == "tags"],
        synchronous=True,
    )


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


def _send_nothing(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    """Send nothing: the run's description was used to create the run."""


def _send_resume(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    client.update_run(run_id, status="RUNNING")


def _send_end(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    client.set_terminated(run_id, record["status"], record["time"])


def _send_settle(client: "MlflowClient", run_id: str, record: Record, folder: Path) -> None:
    """End a run that had to be created again; one that has ended keeps its own status and time."""
    if client.get_run(run_id).info.status == "RUNNING":
        _send_end(client, run_id, record, folder)


_Sender = Callable[["MlflowClient", str, Record, Path], None]
_SENDERS: Mapping[str, _Sender] = {
    "run": _send_nothing,
    "batch": _send_batch,
    "dataset": _send_dataset,
    "artifact": _send_artifact,
    "image": _send_image,
    "model": _send_model,
    "resume": _send_resume,
    "end": _send_end,
    "settle": _send_settle,
}
