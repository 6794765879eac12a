"""Where MLflow keeps its runs, and how that store is opened without blocking."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from filelock import FileLock

from icsd.runs import main_root
from icsd.tracking.messages import without_secrets

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
    "PGCONNECT_TIMEOUT": "5",  # of PostgreSQL's client; without it a lost host costs two minutes
}
_SQLITE = "sqlite:///"


def store_location(root: Path) -> tuple[str, str | None]:
    """Tracking URI, and the folder (as URI) for artifacts of new experiments; None leaves that to the server.

    ``MLFLOW_TRACKING_URI`` decides when it is set; otherwise runs lie in ``.mlflow`` of the repository.
    Both are independent of the folder in which a stage runs: a relative address means the repository.
    """
    home = main_root(root)
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        if uri.startswith(_SQLITE):
            return _sqlite_uri(home / unquote(uri.removeprefix(_SQLITE))), (home / "mlruns").as_uri()
        return uri, None
    return _sqlite_uri(home / ".mlflow" / "mlflow.db"), (home / ".mlflow" / "artifacts").as_uri()


def _sqlite_uri(path: Path) -> str:
    """The address of a database file; relative where an address cannot spell the absolute path.

    SQLAlchemy ends a path at ``?`` and decodes ``%``, and MLflow makes the folder of the encoded name.
    """
    for spelling in (str(path), os.path.relpath(path)):
        if not set("?%") & set(spelling):
            return _SQLITE + spelling
    return _SQLITE + quote(str(path))


def public_uri(root: Path) -> str:
    """The store's address without this machine's folders and without credentials: it is written to files."""
    uri, _ = store_location(root)
    if not uri.startswith(_SQLITE):
        return without_secrets(uri).replace("***@", "")
    path = Path(unquote(uri.removeprefix(_SQLITE))).absolute()
    home = main_root(root)
    return _SQLITE + (path.relative_to(home).as_posix() if path.is_relative_to(home) else path.name)


def open_client(root: Path) -> "MlflowClient":
    """MLflow's client for the store of ``root``, with settings that do not block."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    uri = store_location(root)[0]
    if not uri.startswith(("http:", "https:", "file:")):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 1  # ten attempts to open a database take 100 s; the next delivery is a retry
    # One announces every migration of a new database, the other logs a traceback for each failed query.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return MlflowClient(uri)


def store_lock(root: Path) -> FileLock:
    """Held while a store is created and while a run is found or made: processes may start together."""
    folder = main_root(root) / ".mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "store.lock")
