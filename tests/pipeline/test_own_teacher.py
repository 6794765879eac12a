"""A teacher trained elsewhere, from its file to a report."""

import json

import pytest
from safetensors.torch import save_file
from tests.project import change, commit, make_project, reproduce, run, stage
from tests.stages.training.test_loaded import by_heart

pytestmark = pytest.mark.slow


def test_a_teacher_that_is_not_trained_here_leads_to_a_report(tmp_path):
    project = make_project(tmp_path / "project", tracking={"models": True})
    commit(project)
    reproduce(project, "preprocess")
    save_file(by_heart(project), tmp_path / "own.safetensors")
    change(
        project,
        teacher={"train": False},
        networks={"teacher": {"weights": str(tmp_path / "own.safetensors")}},
    )
    assert "admitted: mIoU" in reproduce(project)
    text = (project / "reports/shapes/report.html").read_text(encoding="utf-8")
    assert "whole network from own.safetensors" in text
    assert "none: used as it was loaded" in text
    training = json.loads((project / "runs/shapes/teacher/train.json").read_text(encoding="utf-8"))
    assert (training["loaded"], training["epochs"]) == ("own.safetensors", 0)
    assert "Running stage" not in run(project, "dvc", "repro").stdout
    assert "rows hold" in stage(project, "verify").stdout
