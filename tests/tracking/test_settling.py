"""The database follows the checkout, and an older checkout's database is taken over."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service import utils

from icsd.tracking import Registry, store_location
from icsd.tracking.run import RunDescription, attach
from icsd.tracking.store import open_client


def write_run(root: Path, text: str) -> tuple[MlflowClient, str]:
    """A run with an artifact, and a registered model."""
    run = RunDescription("icsd-shapes", "workspace-1", "child", "kd", {})
    client, _ = attach(root, run)
    assert run.run_id is not None
    client.log_text(run.run_id, text, "note.txt")
    return client, run.run_id


def register(client: MlflowClient, run_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(client.get_run(run_id).info.experiment_id, "kd", run_id)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=1)])
    registry = Registry(client)
    registry.describe("icsd-shapes-resnet18", "students")
    registry.put("icsd-shapes-resnet18", run_id=run_id, weights_sha256="0", tags={}, card="")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def addresses(root: Path) -> str:
    """The whole database as text."""
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        return "\n".join(connection.iterdump())


@pytest.fixture
def original(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "my checkout #1 ü"
    folder.mkdir()
    shutil.copy(empty_store, folder)
    register(*write_run(folder, "the original's"))
    utils._artifact_repos_cache.clear()  # a moved checkout is opened by another process
    return folder


def test_a_copy_leaves_the_original_as_it_is(
    original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    before = content(original)
    client, run_id = write_run(copy, "the copy's")
    (first,) = [
        run for run in client.search_runs(["1"]) if run.info.run_name == "kd" and run.info.run_id != run_id
    ]
    client.log_text(first.info.run_id, "changed", "note.txt")
    client.log_text(first.info.run_id, "{}", "report.html")
    assert content(original) == before
    assert str(original) not in addresses(copy)
    assert original.as_uri() not in addresses(copy)
    assert (Path(client.download_artifacts(first.info.run_id, "note.txt"))).read_text() == "changed"
    (version,) = client.search_model_versions("name = 'icsd-shapes-resnet18'")
    assert version.source.startswith(copy.as_uri())
    assert caplog.text.count("moved or copied from") == 1
    caplog.clear()
    write_run(copy, "again")
    assert not caplog.text


def test_a_moved_checkout_keeps_its_artifacts(original: Path, tmp_path: Path) -> None:
    moved = original.rename(tmp_path / "moved")
    client = open_client(moved)
    (run,) = [run for run in client.search_runs(["1"]) if run.info.run_name == "kd"]
    assert Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text() == "the original's"
    assert not original.exists()


def test_a_copied_database_alone_does_not_write_to_the_original(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(original / "mlflow.db", copy)
    before = content(original)
    write_run(copy, "the copy's")
    assert content(original) == before


def test_another_way_to_the_same_folder_is_no_move(original: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original)
    before = addresses(original)
    open_client(tmp_path / "link")
    assert addresses(original) == before


def test_artifacts_that_lie_elsewhere_on_purpose_stay_there(original: Path, tmp_path: Path) -> None:
    """As before, when the artifacts lay in the checkout and the database where MLFLOW_TRACKING_URI said."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (original / "mlflow.db").rename(shared / "mlflow.db")
    before = addresses(shared)
    open_client(shared)
    assert addresses(shared) == before


def test_a_persons_own_experiments_elsewhere_stay_there(original: Path, tmp_path: Path) -> None:
    outside = (tmp_path / "outside" / "mlruns").as_uri()
    open_client(original).create_experiment("mine", f"{outside}/mine")
    moved = original.rename(tmp_path / "moved")
    assert open_client(moved).get_experiment_by_name("mine").artifact_location == f"{outside}/mine"


def older(checkout: Path) -> None:
    """Turn the folder into a checkout of an older version, which kept everything in ``.mlflow``."""
    (checkout / "mlflow.db").rename(checkout / ".mlflow" / "mlflow.db")
    (checkout / "mlruns").rename(checkout / ".mlflow" / "artifacts")
    with closing(sqlite3.connect(checkout / ".mlflow" / "mlflow.db")) as connection, connection:
        for update in (
            "UPDATE experiments SET artifact_location = replace(artifact_location, '/mlruns/', ?)",
            "UPDATE runs SET artifact_uri = replace(artifact_uri, '/mlruns/', ?)",
        ):
            connection.execute(update, ("/.mlflow/artifacts/",))


@pytest.mark.parametrize("stray", [False, True], ids=["none", "left by mlflow ui"])
@pytest.mark.parametrize("moved", [False, True])
def test_the_database_of_an_older_checkout_is_taken_over(
    stray: bool,
    moved: bool,
    original: Path,
    tmp_path: Path,
    empty_store: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    older(original)
    if moved:
        original = original.rename(tmp_path / "moved")
    if stray:
        shutil.copy(empty_store, original / "mlflow.db")
    client = open_client(original)
    (run,) = [run for run in client.search_runs(["1"]) if run.info.run_name == "kd"]
    assert Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text() == "the original's"
    assert (original / ".mlflow" / "mlflow.db").samefile(original / "mlflow.db"), (
        "the earlier address still works"
    )
    assert caplog.text.count("where `mlflow ui` looks") == 1
    write_run(original, "another")
    assert len(list((original / ".mlflow").rglob("note.txt"))) == 2


def test_two_databases_with_runs_are_both_kept_and_said_so(
    original: Path, empty_store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (original / ".mlflow" / "mlflow.db").unlink()
    shutil.copy(original / "mlflow.db", original / ".mlflow")
    with closing(sqlite3.connect(original / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET name = 'changed since'")
    before = content(original)
    open_client(original)
    assert content(original) == before
    assert "mlflow ui --backend-store-uri sqlite:///.mlflow/mlflow.db" in caplog.text


def test_a_damaged_older_database_stops_nothing(root: Path) -> None:
    (root / ".mlflow").mkdir()
    (root / ".mlflow" / "mlflow.db").write_bytes(b"no database" * 500)
    write_run(root, "text")


def test_a_copy_that_follows_links_has_one_database(
    original: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Path(shutil.copytree(original, tmp_path / "copy", symlinks=False))
    assert not (copy / ".mlflow" / "mlflow.db").is_symlink()
    write_run(copy, "the copy's")
    assert (copy / ".mlflow" / "mlflow.db").is_symlink()
    assert "earlier runs" not in caplog.text


def test_what_plain_mlflow_uses_in_the_checkout_is_the_store(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(root)
    monkeypatch.setattr(utils, "_tracking_uri", None)
    write_run(root, "text")
    assert mlflow.get_tracking_uri() == store_location(root)[0]
