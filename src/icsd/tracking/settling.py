"""Keeps a database and its artifacts together: from older layouts, and after a move or a copy.

MLflow stores the absolute address of every run's artifacts. In a copied checkout these addresses still lead
to the original, whose artifacts a run of the copy would then overwrite.
"""

import filecmp
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote

from icsd.tracking.messages import log

ARTIFACTS = "mlruns"
"""The folder of artifacts next to the database, as in MLflow's own default."""
_EARLIER = ".mlflow"
# Below a checkout, the folders that have held the artifacts of this project's experiments.
_FOLDERS = (ARTIFACTS, f"{_EARLIER}/artifacts")
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def settle(database: Path) -> None:
    """Prepare a local database before MLflow opens it; the caller holds the store's lock.

    Args:
        database: Absolute path of the database, which need not exist.

    Raises:
        sqlite3.OperationalError: Another process is writing to it.
    """
    for work in (_adopt_earlier, _follow):
        try:
            work(database)
        except sqlite3.DatabaseError as error:  # a damaged one is reported where it is opened
            if "locked" in str(error):
                raise


def keep_earlier_address(database: Path) -> None:
    """Link the address of older checkouts to the database, because notebooks and scripts may use it."""
    link = database.parent / _EARLIER / database.name
    with suppress(OSError):  # a file exists, or links are not supported
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(Path("..") / database.name)


def _adopt_earlier(database: Path) -> None:
    """Move the database of an older version of this project here; its artifacts stay where they are."""
    earlier = database.parent / _EARLIER / database.name
    if not earlier.is_file() or earlier.is_symlink():
        return
    if database.is_file() and filecmp.cmp(earlier, database, shallow=False):
        earlier.unlink()  # was a link before the checkout was copied
        return
    if database.is_file() and _holds_runs(database):
        log.warning(
            "earlier runs are in %s/%s, which `mlflow ui --backend-store-uri sqlite:///%s/%s` shows; "
            "new ones go to %s",
            *(_EARLIER, earlier.name) * 2,
            database.name,
        )
        return
    with closing(sqlite3.connect(earlier, timeout=5, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")  # also rolls back what a killed process left half written
        earlier.replace(database)
    log.warning(
        "the runs of %s/%s are in %s now, where `mlflow ui` looks", _EARLIER, earlier.name, database.name
    )


def _holds_runs(database: Path) -> bool:
    """Whether the database has more than ``mlflow ui`` writes into an empty one."""
    with closing(sqlite3.connect(database, timeout=5)) as connection:
        count = (
            "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM experiments WHERE experiment_id > 0)"
        )
        return bool(connection.execute(count).fetchone()[0])


def _follow(database: Path) -> None:
    """Update addresses below the database's former folder to its present one."""
    if not database.is_file():
        return
    home = database.parent
    with closing(sqlite3.connect(database, timeout=5)) as connection:
        for former in _former_homes(connection, home, database.name):
            with connection:
                num_runs = _replace(connection, former, home)
            log.warning(
                "this checkout was moved or copied from %s: the addresses of %d runs in %s lead here now",
                former,
                num_runs,
                database.name,
            )


def _former_homes(connection: sqlite3.Connection, home: Path, name: str) -> set[Path]:
    experiments = connection.execute(
        "SELECT name, artifact_location FROM experiments WHERE name LIKE 'icsd-%'"
    )
    formers = set()
    for experiment, address in experiments:
        path = str(address)
        if path.startswith("file://"):
            path = unquote(path.removeprefix("file://"))
        for folder in _FOLDERS:
            former = Path(path.removesuffix(f"/{folder}/{experiment}"))
            if str(former) == path or former == home or (former.is_dir() and former.samefile(home)):
                continue
            # Artifacts without a database next to them: MLFLOW_TRACKING_URI put it elsewhere on purpose.
            own = any((former / place / name).exists() for place in (".", _EARLIER))
            if own or not Path(path).exists() or (home / folder / experiment).exists():
                formers.add(former)
    return formers


def _replace(connection: sqlite3.Connection, former: Path, home: Path) -> int:
    """Replace the addresses, and return the number of runs whose address changed."""
    changed = 0
    for table, column in _present(connection, _ADDRESSES):
        for old, new in ((f"{former}/", f"{home}/"), (f"{former.as_uri()}/", f"{home.as_uri()}/")):
            cursor = connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (new, len(old) + 1, len(old), old),
            )
            changed += cursor.rowcount if table == "runs" else 0
    return changed


def _present(connection: sqlite3.Connection, columns: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The columns that exist in this version of MLflow's database."""
    return [
        (table, column)
        for table, column in columns
        if column in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    ]
