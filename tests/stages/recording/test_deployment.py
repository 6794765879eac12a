"""The record of a champion's files in MLflow."""

import numpy as np
import pytest
from tests.project import change
from tests.reporting.deployed import write_deployed
from tests.reporting.tree import Tree
from tests.stages.recording.test_evaluation import Recorder

from icsd import tracking
from icsd.core.metrics import mean_iou
from icsd.deployed import DeploymentRecord
from icsd.records import read_record
from icsd.stages.recording.deployment import record_deployed
from icsd.stages.validate import checked_params


@pytest.fixture
def asked(monkeypatch):
    """A recorder in place of the tracker, and the options with which it is opened."""
    recorder, options = Recorder(), {}

    def opened(**given):
        options.update(given)
        return recorder

    monkeypatch.setattr(tracking, "open_tracker", opened)
    return recorder, options


def deployed_in(project, **turned):
    change(project, tracking={"enabled": True, **turned})
    tree = Tree(project, seeds=(0,)).write()
    folder = write_deployed(tree, "aicsd", {"onnx": {}, "int8": {1: 40}})
    for name in ("onnx", "int8"):
        (folder / f"resnet18/{name}.x").write_bytes(b"a file")
    [student] = read_record(folder / "deployment.json", DeploymentRecord).students
    record_deployed(project, checked_params(project), student)
    return folder


@pytest.mark.parametrize("models", [True, False])
def test_the_champions_run_gets_its_numbers_and_with_models_its_files(project, asked, models):
    folder = deployed_in(project, models=models)
    recorder, options = asked
    assert (options["name"], options["run_id"]) == ("aicsd · resnet18 · seed 0", "run-aicsd-resnet18-0")
    assert options["amend"]
    [(step, numbers)] = recorder.points.items()
    assert step == 6
    counts = np.load(folder / "resnet18/int8.npz")["confusion"]
    assert numbers["deployed/int8/miou"] == mean_iou(counts.sum(0))
    assert numbers["deployed/int8/p50_ms"] == 2.5
    assert numbers["deployed/own/megabytes"] == 4
    assert {name.split("/")[1] for name in numbers} == {"own", "onnx", "int8"}
    assert recorder.names == (["deployed/onnx.x", "deployed/int8.x"] if models else [])


def test_what_is_turned_off_is_not_recorded(project, asked):
    deployed_in(project, enabled=False)
    assert asked[0].points == {}
