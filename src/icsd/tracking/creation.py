"""Creates a local database atomically, although MLflow needs dozens of steps for it.

A process that ends midway would leave a database in which MLflow always fails ("table … already exists").
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from icsd.files import place_beside
from icsd.tracking.lines import set_aside


def ensure_whole(database: Path, artifacts: str) -> None:
    """Create the database if it is missing or unfinished; the caller holds the store's lock.

    Args:
        database: Absolute path of the database.
        artifacts: URI for artifacts of runs outside this project's experiments.

    Raises:
        OSError: The file cannot be opened, or its folder cannot be written to.
        sqlite3.DatabaseError: The database is damaged.
    """
    if os.path.lexists(database):
        if not _is_unfinished(database):
            return
        if database.stat().st_size:
            set_aside(database)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with place_beside(database) as place:
        unfinished = place / database.name
        store = SqlAlchemyStore(f"sqlite:///{quote(str(unfinished))}", artifacts)  # type: ignore[no-untyped-call]
        store._dispose_engine()  # type: ignore[no-untyped-call]
        unfinished.replace(database)


def _is_unfinished(database: Path) -> bool:
    """Whether MLflow began to create this database and stopped before its first experiment."""
    with database.open("rb+"):
        pass  # raises unless the file may be written
    with closing(sqlite3.connect(database, timeout=5)) as connection:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if "experiments" not in tables:
            return not tables  # other tables belong to another program
        return not connection.execute("SELECT count(*) FROM experiments").fetchone()[0]
