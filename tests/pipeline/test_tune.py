"""Tuning by the commands that people type: killed, continued, tracked, and put to use by DVC."""

import re

import mlflow
import pytest
from tests.project import change, commit, kill_in, make_project, reproduce, run, stage

from icsd.yaml_files import read_yaml

pytestmark = [
    pytest.mark.slow,
    # SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]

TRAINING = ("distill", "baselines")


def stages_run(output):
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A project with its students trained, whose search was killed in a trial and then run again."""
    project = make_project(tmp_path_factory.mktemp("tuning") / "project", tuning={"trials": 3})
    for suffix in ("yaml", "csv"):
        (project / f"configs/tuned/shapes.{suffix}").unlink(missing_ok=True)
    commit(project)
    reproduce(project, *TRAINING)
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", "results")
    kill_in(project, "tune", training="kd: trial 2 of 3")
    again = stage(project, "tune").stdout
    assert "kd: trial 1 of 3" not in again
    assert "resuming after epoch" in again
    assert "kd: trial 3 of 3" in again
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", "tuned")
    return project


def test_every_trial_is_a_run_of_one_family(tuned):
    client = mlflow.MlflowClient(f"sqlite:///{tuned}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes-tuning")
    runs = {found.info.run_name: found for found in client.search_runs([experiment.experiment_id])}
    (parent,) = [found for found in runs.values() if found.data.tags["icsd.role"] == "parent"]
    trials = {name: found for name, found in runs.items() if found is not parent}
    assert set(trials) == {"none · resnet18 · factor 1"} | {
        f"{method} · resnet18 · factor {factor}"
        for method in ("kd", "aicsd")
        for factor in ("1", "0.316", "3.16")
    }
    for found in trials.values():
        assert found.info.status == "FINISHED"
        assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert found.data.tags["icsd.kind"] == "trial"
        assert [point.step for point in client.get_metric_history(found.info.run_id, "loss/ce")] == [1, 2, 3]
    third = trials["aicsd · resnet18 · factor 3.16"]
    assert third.data.params["method.weights.kd"] == "3.16"
    assert third.data.params["tuning.factor"] == "3.16"
    best = read_yaml(tuned / "configs/tuned/shapes.yaml")["methods"]["kd"]["search"]["miou"]
    assert parent.data.metrics["kd/miou"] == pytest.approx(best)


def test_tuning_makes_nothing_stale_until_its_weights_are_asked_for(tuned):
    assert stages_run(run(tuned, "dvc", "repro", *TRAINING).stdout) == ["validate"]
    done = run(tuned, "dvc", "exp", "run", "-n", "equal", "-S", "weights=tuned", *TRAINING).stdout
    assert set(stages_run(done)) == {"validate", "distill@aicsd-resnet18-0", "baselines@kd-resnet18-0"}
    change(tuned, grid={"baselines": ["none", "kd", "icsd"]})
    refused = run(tuned, "dvc", "repro", *TRAINING, ok=False)
    assert "not tuned yet: icsd; run `python -m pipeline tune icsd`" in refused.stderr
    run(tuned, "git", "checkout", "-q", "--", ".")
