"""The location of MLflow's store, and a client of it that does not block."""

import importlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from filelock import FileLock

from icsd.importing import uncollected
from icsd.runs import main_root
from icsd.tracking.creation import ensure_whole
from icsd.tracking.messages import without_secrets
from icsd.tracking.settling import ARTIFACTS, keep_earlier_address, settle

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # With the defaults (7 retries, doubling pauses), a lost server blocks a training for minutes per call.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PGCONNECT_TIMEOUT": "5",  # PostgreSQL's client; by default a lost host costs two minutes
}
_SQLITE = "sqlite:///"


def store_location(root: Path) -> tuple[str, str | None]:
    """Tracking URI, and the folder (as URI) for artifacts of new experiments; None leaves that to the server.

    The URI is ``MLFLOW_TRACKING_URI`` if set. Otherwise it is MLflow's own default in the repository:
    ``mlflow.db``, with the artifacts next to it. Relative addresses are resolved against the repository,
    whatever folder a stage runs in.
    """
    database = local_database(root)
    if database is None:
        return os.environ["MLFLOW_TRACKING_URI"], None
    return _SQLITE + quote(str(database)), (database.parent / ARTIFACTS).as_uri()


def local_database(root: Path) -> Path | None:
    """The absolute path of the store's database file; None if the store is not a SQLite file."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}mlflow.db"
    if not uri.startswith(_SQLITE):
        return None
    path = unquote(uri.removeprefix(_SQLITE).partition("?")[0])
    return Path(os.path.normpath(main_root(root) / path))


def is_shared(root: Path) -> bool:
    """Whether the store may hold other people's runs, because it is outside the checkout."""
    database = local_database(root)
    return database is None or not database.is_relative_to(main_root(root))


def public_uri(root: Path) -> str:
    """The store's address without this machine's folders and without credentials, to be written to files."""
    database, home = local_database(root), main_root(root)
    if database is None:
        return without_secrets(store_location(root)[0]).replace("***@", "")
    return _SQLITE + (
        database.relative_to(home).as_posix() if database.is_relative_to(home) else database.name
    )


def open_client(root: Path) -> "MlflowClient":
    """MLflow's client for the store of ``root``, with settings that do not block.

    The caller holds ``store_lock``.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    uri, database = store_location(root)[0], local_database(root)
    with uncollected():
        from mlflow.tracking import MlflowClient

        if database is not None:
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    # They log every migration of a new database, every retry, and a traceback for each failed query.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if not uri.startswith(("http:", "https:", "file:")):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 1  # ten attempts to open a database take 100 s; the next delivery is a retry
        # It would create a folder named after the quoted address, in which "?" is "%3F".
        utils._make_parent_dirs_if_sqlite = lambda db_uri: None
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        settle(database)
        if not is_shared(root):
            keep_earlier_address(database)
        ensure_whole(database, str(store_location(root)[1]))
    return MlflowClient(uri)


def store_lock(root: Path) -> FileLock:
    """The lock to hold while creating a store or finding or creating a run; processes may start together."""
    database = local_database(root)
    if database is not None and is_shared(root):
        lock = database.with_name(f".{database.name}.lock")
    else:
        lock = main_root(root) / ".state" / "store.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock)
