import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import icsd
from icsd.tracking import store_location
from icsd.tracking.journal import Journal
from icsd.tracking.run import RunDescription, attach, find_runs
from icsd.tracking.store import open_client, public_uri


def description(**changes: str) -> RunDescription:
    settings = {"experiment": "icsd-shapes", "group": "workspace-1", "role": "child", "name": "kd", **changes}
    return RunDescription(tags={}, **settings)  # type: ignore[arg-type]


def test_runs_lie_in_the_repository_by_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri, artifacts = store_location(Path())
    assert uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifacts == f"file://{tmp_path}/mlruns"


def test_inside_dvcs_temporary_experiments_the_main_repository_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    assert store_location(tmp_path / "copy")[0] == f"sqlite:///{tmp_path}/main/mlflow.db"


def test_the_users_tracking_server_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert store_location(tmp_path) == ("http://127.0.0.1:5000", None)


def test_a_relative_database_of_the_user_lies_in_the_repository_wherever_a_stage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store_location(tmp_path) == (f"sqlite:///{tmp_path}/mlflow.db", f"file://{tmp_path}/mlruns")


@pytest.mark.parametrize("name", ["done?", "50% done", "a#b?c%41", "my runs #1 ü"])
def test_a_checkout_may_have_any_name(name: str, tmp_path: Path, empty_store: Path) -> None:
    home = tmp_path / name
    home.mkdir()
    shutil.copy(empty_store, home)
    run = description()
    client, _ = attach(home, run)
    client.log_text(run.run_id, "text", "note.txt")
    assert [path.read_text() for path in home.rglob("note.txt")] == ["text"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_database_that_cannot_be_opened_costs_no_wait(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    started = time.monotonic()
    with pytest.raises(Exception, match=r"unable to open database file|Is a directory"):
        attach(tmp_path, description())
    assert time.monotonic() - started < 20


def test_the_address_for_files_has_no_login_and_no_folder_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert public_uri(tmp_path) == "sqlite:///mlflow.db"
    for address, shown in {
        "https://ann:hunter22@host:5000/a@b": "https://host:5000/a@b",
        f"sqlite:///{tmp_path}/mine/m.db": "sqlite:///mine/m.db",
        "sqlite:////somewhere/m.db": "sqlite:///m.db",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert public_uri(tmp_path) == shown


def test_children_of_one_group_share_a_parent_and_other_groups_do_not(root: Path) -> None:
    runs = [description(), description(), description(group="it's another")]
    for run in runs:
        client, _ = attach(root, run)
    parents = [client.get_run(run.run_id).data.tags["mlflow.parentRunId"] for run in runs]
    assert parents[0] == parents[1] != parents[2]
    assert client.get_run(parents[2]).data.tags["icsd.group"] == "it's another"


def test_a_process_killed_right_after_it_made_its_run_finds_it_again(root: Path) -> None:
    run, twin = description(), description()
    twin.key = run.key
    attach(root, run)
    attach(root, twin)
    assert run.run_id == twin.run_id


def test_a_run_that_was_deleted_is_made_anew_and_said_so(root: Path) -> None:
    run = description()
    client, lost = attach(root, run)
    assert not lost
    first = run.run_id
    client.delete_run(first)
    assert attach(root, run)[1]
    assert run.run_id != first


def test_a_deleted_experiment_comes_back(root: Path) -> None:
    client, _ = attach(root, description())
    client.delete_experiment(client.get_experiment_by_name("icsd-shapes").experiment_id)
    attach(root, description())
    assert client.get_experiment_by_name("icsd-shapes").lifecycle_stage == "active"


STARTER = """
import os, sys
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store  # once, before the processes part
from icsd.tracking.run import RunDescription, attach

def start(number):
    attach(Path(sys.argv[1]), RunDescription("icsd-shapes", "workspace-1", "child", f"run {number}", {}))

children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        try:
            start(number)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)
"""


@pytest.mark.slow  # makes a database from nothing
def test_four_processes_may_start_on_an_empty_store_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(icsd.__path__[0]).parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    client = open_client(tmp_path)
    experiment = client.get_experiment_by_name("icsd-shapes")
    assert experiment is not None
    children = find_runs(client, experiment.experiment_id, {"icsd.role": "child"})
    parents = find_runs(client, experiment.experiment_id, {"icsd.role": "parent"})
    assert {run.info.run_name for run in children} == {f"run {number}" for number in range(4)}
    assert len(parents) == 1


def test_a_description_survives_the_disk(tmp_path: Path) -> None:
    run = description(name="aicsd · resnet18 · seed 1")
    journal = Journal(tmp_path)
    journal.append(run.record())
    journal.attach("id", ["former"], lost=False)
    again = RunDescription.of(Journal(tmp_path))
    assert again == replace(run, run_id="id", former=["former"])
