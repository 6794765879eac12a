"""MLflow makes its database in dozens of steps: a process may end at any of them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from icsd.tracking.creation import ensure_whole
from icsd.tracking.store import open_client

WHOLE = "CREATE TABLE experiments (name TEXT); INSERT INTO experiments VALUES ('Default')"


def made(path: Path, script: str) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a database to be made; making one copies the empty one, which took seconds."""
    import mlflow.store.tracking.sqlalchemy_store as module

    class Store:
        def __init__(self, uri: str, artifacts: str) -> None:
            Path(uri.removeprefix("sqlite:///")).write_bytes(empty_store.read_bytes())

        def _dispose_engine(self) -> None:
            pass

    monkeypatch.setattr(module, "SqlAlchemyStore", Store)
    return tmp_path / "mlflow.db"


@pytest.mark.parametrize(
    "script",
    [
        "",
        "CREATE TABLE experiments (name TEXT)",
        "CREATE TABLE experiments (name TEXT); CREATE TABLE scorers (id)",
    ],
)
def test_the_beginning_of_a_database_gives_way_to_a_whole_one(
    script: str, database: Path, empty_store: Path
) -> None:
    begun = made(database, script)
    ensure_whole(database, "file:///artifacts")
    assert database.read_bytes() == empty_store.read_bytes()
    kept = [path.read_bytes() for path in database.parent.glob("mlflow.db.damaged-*")]
    assert kept == ([begun] if begun else [])


@pytest.mark.parametrize("script", [WHOLE, "CREATE TABLE customers (name TEXT)"])
def test_a_whole_database_and_one_of_another_program_stay(script: str, database: Path) -> None:
    before = made(database, script)
    ensure_whole(database, "file:///artifacts")
    assert database.read_bytes() == before


def test_a_process_that_ends_while_it_makes_a_database_leaves_none(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.store.tracking.sqlalchemy_store as module

    class Dying(module.SqlAlchemyStore):
        def _dispose_engine(self) -> None:
            raise KeyboardInterrupt

    whole = module.SqlAlchemyStore
    monkeypatch.setattr(module, "SqlAlchemyStore", Dying)
    with pytest.raises(KeyboardInterrupt):
        ensure_whole(database, "file:///artifacts")
    assert not database.exists()
    monkeypatch.setattr(module, "SqlAlchemyStore", whole)
    ensure_whole(database, "file:///artifacts")
    assert [path.name for path in database.parent.iterdir()] == ["mlflow.db"]


def test_a_damaged_database_is_left_as_it_is(database: Path) -> None:
    database.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
    before = database.read_bytes()
    with pytest.raises(sqlite3.DatabaseError):
        ensure_whole(database, "file:///artifacts")
    assert database.read_bytes() == before


def test_mlflow_finds_the_database_as_it_would_have_made_it(root: Path, empty_store: Path) -> None:
    assert [experiment.name for experiment in open_client(root).search_experiments()] == ["Default"]
