"""The findings of ``verify`` about MLflow's store, on one network with one curve."""

import shutil
import sqlite3

import pytest

from icsd.commands.verify.checks import State
from icsd.commands.verify.store import check_store
from icsd.files import write_json
from icsd.runs import RunKey
from icsd.tracking import Tag
from icsd.tracking.store import local_database, open_client

# MLflow 3.17's own queries use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)
KEY = RunKey("shapes", "kd", "resnet18", 0)
HISTORY = "epoch,loss/ce,val/miou\n1,0.5,\n2,0.25,0.125\n3,nan,\n"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A store with one run, and the files that the run was made from."""
    root = tmp_path_factory.mktemp("store") / "repository"
    (root / KEY.folder).mkdir(parents=True)
    (root / KEY.folder / "history.csv").write_text(HISTORY)
    (root / KEY.folder / "train.json").write_text("{}")
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
            environment.delenv(name, raising=False)
        client = open_client(root)
    experiment = client.create_experiment("icsd-shapes", (root / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    for name, value, step in (
        *(("loss/ce", 0.5, 1), ("loss/ce", 0.25, 2), ("loss/ce", float("nan"), 3)),
        *(("val/miou", 0.125, 2), ("loss/ce", 9.0, 0)),  # step 0 is before the history's first row
    ):
        client.log_metric(run_id, name, value, step=step)
    for path in (root / KEY.folder).iterdir():
        client.log_artifact(run_id, str(path))
    write_cost(root, run_id)
    return root


def write_cost(root, run_id, *, key=None):
    content = {
        **dict.fromkeys(("seconds_training", "seconds_per_epoch", "images_per_second"), 1.0),
        **dict.fromkeys(("device", "machine", "torch", "started", "finished"), "-"),
        **{"peak_memory_mb": None, "extra_parameters": 0, "resumed": 0, "git": None},
        "mlflow": {"experiment": "icsd-shapes", "run_id": run_id, "key": key},
        "state": ".state/runs/kd",
    }
    write_json(root / KEY.cost, content)


@pytest.fixture
def root(recorded, tmp_path):
    """A copy of the repository, with the artifacts' addresses leading into it."""
    copy = tmp_path / "repository"
    shutil.copytree(recorded, copy)
    sql(copy, "update runs set artifact_uri = replace(artifact_uri, ?, ?)", str(recorded), str(copy))
    return copy


def findings(root):
    checks = list(check_store(root, [KEY]))
    return {check.subject: (check.state, check.details) for check in checks if check.state != State.OK}


def sql(root, statement, *values):
    with sqlite3.connect(local_database(root)) as connection:
        connection.execute(statement, values)


def run_id_of(root):
    with sqlite3.connect(local_database(root)) as connection:
        return connection.execute("select run_uuid from runs").fetchone()[0]


def test_a_sound_store_has_no_findings_and_is_not_written(root):
    before = local_database(root).read_bytes()
    assert findings(root) == {}
    assert [check.subject for check in check_store(root, [KEY])] == [
        *("database", "runs", "curves", "artifacts"),
    ]
    assert local_database(root).read_bytes() == before


@pytest.mark.parametrize("damage", ["in the middle", "of the header", "cut off"])
def test_a_damaged_database_is_named_with_what_to_do(root, damage):
    path = local_database(root)
    content = bytearray(path.read_bytes())
    if damage == "in the middle":
        content[8192 : len(content) // 2] = b"\xff" * (len(content) // 2 - 8192)
    elif damage == "of the header":
        content[:16] = bytes(16)
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    found = findings(root)
    assert found.keys() == {"database"}
    state, lines = found["database"]
    assert state == State.DIFFERS
    assert lines[0].startswith(f"{path.relative_to(root)}: damaged (")
    assert "put it aside" in lines[0]


def test_a_store_that_is_gone_is_missing(root):
    local_database(root).unlink()
    state, [line] = findings(root)["database"]
    assert state == State.MISSING
    assert "there is no store; `dvc repro -f -s report`" in line


def test_a_run_that_the_store_does_not_know_is_named(root):
    write_cost(root, "0" * 32)
    [line] = findings(root)["runs"][1]
    assert line.startswith(f"{KEY.cost}: MLflow has no run 0000")


def test_a_run_that_was_deleted_is_named(root):
    sql(root, "update runs set lifecycle_stage = 'deleted'")
    [line] = findings(root)["runs"][1]
    assert "was deleted in MLflow" in line


def test_a_run_that_had_no_id_when_its_training_ended_is_found_by_its_key(root):
    sql(root, "insert into tags (key, value, run_uuid) values (?, ?, ?)", Tag.KEY, "k" * 32, run_id_of(root))
    write_cost(root, None, key="k" * 32)
    assert findings(root) == {}
    write_cost(root, None, key="j" * 32)
    assert "this training has not reached MLflow" in findings(root)["runs"][1][0]


def test_a_training_that_never_reached_the_store_is_named(root):
    write_cost(root, None)
    [line] = findings(root)["runs"][1]
    assert "this training has not reached MLflow; `dvc repro -f -s report` sends" in line


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "delete from metrics where step = 2 and key = 'loss/ce'",
            "loss/ce: 3 points here, 2 in MLflow's run",
        ),
        ("update metrics set value = 0.26 where value = 0.25", "loss/ce: 3 points here, 3 in MLflow's run"),
        ("update metrics set step = 5 where key = 'val/miou'", "val/miou: 1 points here, 1 in MLflow's run"),
    ],
)
def test_a_curve_that_is_not_the_historys_is_named(root, statement, said):
    sql(root, statement)
    found = findings(root)
    assert found.keys() == {"curves"}
    [line] = found["curves"][1]
    assert line.startswith(f"{KEY.folder}/history.csv: {said} {run_id_of(root)}")


def test_a_missing_and_a_changed_artifact_are_named(root):
    [place] = (root / "artifacts").rglob("train.json")
    place.unlink()
    place.with_name("history.csv").write_text("epoch\n")
    found = findings(root)
    assert found.keys() == {"artifacts"}
    assert found["artifacts"][1] == (
        f"{place.with_name('history.csv')}: not {KEY.folder}/history.csv, of which it is a copy; "
        "copy it there again",
        f"{place}: missing; copy {KEY.folder}/train.json there",
    )


def test_a_network_that_is_not_trained_is_the_rows_concern(root):
    shutil.rmtree(root / KEY.folder)
    assert findings(root) == {}
    (root / KEY.cost).unlink()
    assert findings(root) == {}


def test_a_server_is_not_asked(root, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert list(check_store(root, [KEY])) == []
