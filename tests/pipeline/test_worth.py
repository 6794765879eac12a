"""The command ``worth`` as a user runs it: from scratch, killed, and continued."""

import json
import shlex

import mlflow
import pytest
from tests.docs.blocks import block
from tests.project import commit, kill_in, make_project, run, stage

pytestmark = [
    pytest.mark.slow,
    # SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]

[TYPED] = block("docs/worth.md", "python -m pipeline worth").commands
ASKED = (*shlex.split(TYPED)[3:], "--max-seeds", "3")


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A project without data and teacher, in which ``worth`` was killed in a training and then run again."""
    project = make_project(tmp_path_factory.mktemp("worth") / "project")
    commit(project)
    kill_in(project, *ASKED, training="seed 1002 (2 of at most 3), training 1 of 3: none")
    assert not (project / "worth.json").exists()
    again = stage(project, *ASKED).stdout
    assert "training 3 of 3: dist, trained before" in again
    assert "rehearsal" not in again
    assert "resuming after epoch" in again
    return project, again


def test_the_teacher_is_trained_by_the_pipeline_and_nothing_else_is(answered):
    project, _ = answered
    assert [path.name for path in (project / "runs/shapes").iterdir()] == ["teacher"]
    assert "train_teacher" not in run(project, "dvc", "status", "train_teacher").stdout


def test_the_answer_is_printed_and_written(answered):
    project, printed = answered
    written = json.loads((project / "worth.json").read_text())
    assert " ".join(written["paragraph"].split()) in " ".join(printed.split())
    assert f"Next: {written['command']}" in printed
    assert written["answer"] in ("worth it", "not worth it", "undecided")
    assert {(each["method"], each["seed"]) for each in written["trainings"]} == {
        (method, seed) for method in ("none", "kd", "dist") for seed in (1001, 1002, 1003)
    }
    for method, each in written["gains"].items():
        own = {one["seed"]: one["miou"] for one in written["trainings"] if one["method"] == method}
        alone = {one["seed"]: one["miou"] for one in written["trainings"] if one["method"] == "none"}
        assert each["gains"] == pytest.approx([100 * (own[seed] - alone[seed]) for seed in sorted(own)])


def test_every_training_is_a_run_of_one_family(answered):
    project, _ = answered
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes-worth")
    runs = {found.info.run_name: found for found in client.search_runs([experiment.experiment_id])}
    (parent,) = [found for found in runs.values() if found.data.tags["icsd.role"] == "parent"]
    trainings = {name: found for name, found in runs.items() if found is not parent}
    assert set(trainings) == {
        f"{method} · resnet18 · seed {seed}"
        for method in ("none", "kd", "dist")
        for seed in (1001, 1002, 1003)
    }
    for found in trainings.values():
        assert found.info.status == "FINISHED"
        assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
    written = json.loads((project / "worth.json").read_text())
    assert parent.data.tags["icsd.verdict"] == written["answer"]
    gains = [point.value for point in client.get_metric_history(parent.info.run_id, "kd/gain")]
    assert gains[-1] == pytest.approx(written["gains"]["kd"]["mean"])
    assert len(gains) == 3
    assert not list((project / ".state/runs").glob("shapes-*-100?-*"))
