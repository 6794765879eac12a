"""Equal time by the commands that people type: measured once, trained by DVC, the same elsewhere."""

import json
import re
import shutil

import pytest
from tests.project import change, commit, make_project, outputs, reproduce, run, stage

pytestmark = pytest.mark.slow

TRAINING = ("distill", "baselines")


def stages_run(output):
    return set(re.findall(r"Running stage '([^']+)'", output))


def test_methods_are_measured_trained_for_equal_time_and_then_up_to_date_everywhere(tmp_path):
    project = make_project(tmp_path / "project", tracking={"enabled": False}, train={"epochs": 6})
    commit(project)
    reproduce(project, *TRAINING)
    alone = outputs(project / "runs/shapes/none")
    refused = run(project, "dvc", "exp", "run", "-S", "train.budget=seconds", *TRAINING, ok=False)
    assert "not measured with kd, aicsd (resnet18)" in refused.stderr + refused.stdout
    change(project, train={"budget": "epochs"})

    lines = stage(project, "pace", "--rounds", "3").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        *("kd · resnet18", "aicsd · resnet18", "configs/pace/shapes.yaml")
    ]
    path = project / "configs/pace/shapes.yaml"
    path.write_text(re.sub(r"(?<= )pace: .*", "pace: 1.6", path.read_text()))  # whatever this machine is

    change(project, train={"budget": "seconds"})
    first = run(project, "dvc", "repro", *TRAINING).stdout
    assert stages_run(first) == {"validate", "distill@aicsd-resnet18-0", "baselines@kd-resnet18-0"}
    assert stages_run(run(project, "dvc", "repro", *TRAINING).stdout) == set()
    assert outputs(project / "runs/shapes/none") == alone
    trained = outputs(project / "runs/shapes/kd")
    described = json.loads(trained["resnet18-0/train.json"])
    assert (described["epochs"], described["params"]["training"]["pace"]) == (4, 1.6)
    assert len(trained["resnet18-0/history.csv"].splitlines()) == 5

    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", "equal time")
    other = tmp_path / "other"
    run(project, "git", "clone", "-q", str(project), str(other))
    reproduce(other, "baselines@kd-resnet18-0")
    assert outputs(other / "runs/shapes/kd") == trained
    shutil.rmtree(other)
