"""Real processes that are killed, and the ones that resume."""

import os
import shutil
import signal
import subprocess
import sys

import mlflow
import pytest
from tests.project import change, environment, make_project, outputs, stage

pytestmark = [
    pytest.mark.slow,
    # SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]
TRAIN = ("train-student", "--method", "none", "--student", "resnet18", "--seed", "0")


@pytest.fixture
def project(tmp_path):
    folder = make_project(tmp_path / "project")
    change(folder, train={"epochs": 6})
    stage(folder, "download")
    stage(folder, "preprocess")
    return folder


def kill_after(project, text, how):
    """Start the training and end it as soon as it prints ``text``."""
    command = [sys.executable, "-u", "-m", "pipeline", *TRAIN]
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        for line in process.stdout:
            if text in line:
                os.kill(process.pid, how)
                break
    return process.returncode


def recorded(project):
    """Status and points of the student's one run in MLflow."""
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes")
    (child,) = client.search_runs([experiment.experiment_id], "tags.`icsd.method` = 'none'")
    points = client.get_metric_history(child.info.run_id, "loss/ce")
    return child.info.status, [(point.step, point.value) for point in points]


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(project):
    stage(project, "train-teacher")
    stage(project, *TRAIN)
    folder = project / "runs/shapes/none/resnet18-0"
    whole, points = outputs(folder), recorded(project)
    for name in (".state", "mlruns"):
        shutil.rmtree(project / name)
    (project / "mlflow.db").unlink()
    shutil.rmtree(folder)
    assert kill_after(project, "epoch 2/6", signal.SIGKILL) == -signal.SIGKILL
    assert kill_after(project, "epoch 4/6", signal.SIGTERM) == 143
    assert not folder.exists()
    done = stage(project, *TRAIN)
    assert "resuming after epoch" in done.stdout
    assert outputs(folder) == whole
    assert recorded(project) == points
    assert points[0] == "FINISHED"
    assert [step for step, _ in points[1]] == [1, 2, 3, 4, 5, 6]
