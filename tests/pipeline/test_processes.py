"""Several processes train one network."""

import shutil

import pytest
from tests.project import change, make_project, outputs, stage

pytestmark = pytest.mark.slow


def test_two_processes_train_one_student_the_same_way_each_time(tmp_path):
    project = make_project(tmp_path / "project", tracking={"enabled": False})
    stage(project, "download")
    stage(project, "preprocess")
    stage(project, "train-teacher")
    change(project, runtime={"accelerator": "cpu", "devices": 2})
    trained = []
    for _ in range(2):
        stage(project, "train-student", "--method", "aicsd", "--student", "resnet18", "--seed", "0")
        trained.append(outputs(project / "runs/shapes/aicsd/resnet18-0"))
        shutil.rmtree(project / ".state")
        shutil.rmtree(project / "runs/shapes/aicsd")
    assert trained[0] == trained[1]
    rows = trained[0]["history.csv"].decode().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", "3"]
    assert "health/share/kd" in rows[0].split(",")
    change(project, monitor={"health_steps": 0})
    stage(project, "train-student", "--method", "aicsd", "--student", "resnet18", "--seed", "0")
    unmeasured = outputs(project / "runs/shapes/aicsd/resnet18-0")
    assert unmeasured["student.safetensors"] == trained[0]["student.safetensors"]
