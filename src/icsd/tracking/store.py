"""Where MLflow keeps its runs."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from icsd.runs import main_root

if TYPE_CHECKING:
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


def store_location(root: Path) -> tuple[str, str | None]:
    """Tracking URI and the folder (as URI) for artifacts of new experiments; None leaves that to the server.

    ``MLFLOW_TRACKING_URI`` decides when it is set; otherwise runs lie in ``.mlflow`` of the repository, by
    absolute path, because stages run in other folders too.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri, None
    folder = main_root(root) / ".mlflow"
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


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
