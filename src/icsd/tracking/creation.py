"""A local database is there as a whole or not at all, though MLflow makes it in dozens of steps.

A process that ends in their middle would leave one in which MLflow fails for ever ("table … already exists").
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from icsd.files import place_beside
from icsd.tracking.lines import set_aside


def ensure_whole(database: Path, artifacts: str) -> None:
    """Make the database where there is none, or only the beginning of one; the caller holds the store's lock.

    Args:
        database: Its absolute path.
        artifacts: Where runs outside this project's experiments keep their artifacts.

    Raises:
        OSError: The file may not be opened, or its folder not written to.
        sqlite3.DatabaseError: It is damaged.
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
    """Whether MLflow has begun this database and not come to its first experiment."""
    with database.open("rb+"):
        pass  # another user's file is theirs
    with closing(sqlite3.connect(database, timeout=5)) as connection:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if "experiments" not in tables:
            return not tables  # others are those of another program
        return not connection.execute("SELECT count(*) FROM experiments").fetchone()[0]
