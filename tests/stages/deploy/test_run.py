"""The stage on a tiny grid: whose students trace in no time, and predict as well as a few steps let them."""

import shutil

import numpy as np
import onnxruntime
import pytest
from tests.libraries import write_own
from tests.project import change, entered

from icsd.arrays import read_arrays
from icsd.core.predictions import predicted_classes
from icsd.data.prepared import REPORT, PreparedData
from icsd.data.transforms import prepare
from icsd.deployed import DeploymentRecord
from icsd.files import sha256_of
from icsd.records import read_record
from icsd.stages.deploy.run import deploy
from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher
from icsd.stages.report import report
from icsd.stages.training.run import train_student

pytestmark = pytest.mark.usefixtures("one_thread")
MINE = {"architecture": "python:own_networks:Mine"}


@pytest.fixture(scope="module")
def measured(taught_once, tmp_path_factory):
    """A tiny project with its teacher and the students of two methods measured."""
    folder = tmp_path_factory.mktemp("measured") / "project"
    shutil.copytree(taught_once, folder)
    with pytest.MonkeyPatch.context() as patch, entered(folder):
        write_own(folder, patch)
        change(
            folder,
            networks={"students": {"resnet18": MINE}},
            grid={"baselines": ["none", "kd"], "distilled": []},
            train={"epochs": 1},
        )
        evaluate_teacher(folder)
        for method in ("none", "kd"):
            train_student(folder, method=method, student="resnet18", seed=0)
            evaluate_students(folder, method=method)
        yield folder


@pytest.fixture(scope="module")
def deployed(measured, tmp_path_factory):
    """The same after the stage, with all formats, and the report."""
    folder = tmp_path_factory.mktemp("deployed") / "project"
    shutil.copytree(measured, folder)
    with pytest.MonkeyPatch.context() as patch, entered(folder):
        write_own(folder, patch)
        change(folder, deploy={"formats": ["torch", "int8", "onnx"], "calibration": 3})
        deploy(folder)
        report(folder)
        yield folder


def record_of(project):
    return read_record(project / "deployed/shapes/deployment.json", DeploymentRecord)


def test_the_champion_is_exported_in_every_format(deployed):
    [student] = record_of(deployed).students
    place = deployed / "deployed/shapes/resnet18"
    assert [(file.format, file.file) for file in student.files] == [
        *(("onnx", "onnx.onnx"), ("int8", "int8.onnx"), ("torch", "torch.pt2"))
    ]
    for file in student.files:
        assert (place / file.file).stat().st_size == file.bytes
        assert sha256_of(place / file.file) == file.sha256
        assert 0 < file.p50_ms <= file.p95_ms
    assert (student.method, student.seed) == ("none", 0)  # one seed establishes nothing
    assert "no challenger can be tested" in student.reason
    assert student.alone is None
    assert student.teacher.bytes > student.own.bytes > 0
    assert student.weights_sha256 == sha256_of(deployed / "runs/shapes/none/resnet18-0/student.safetensors")


def test_files_are_measured_on_the_reported_split(deployed):
    """With ONNX Runtime alone, one image after the other."""
    split = PreparedData(deployed / "data/shapes/processed").split(REPORT)
    place = deployed / "deployed/shapes/resnet18"
    for name in ("onnx", "int8"):
        session = onnxruntime.InferenceSession(place / f"{name}.onnx", providers=["CPUExecutionProvider"])
        counts = np.zeros((len(split), 9, 9), np.int64)
        for index in range(len(split)):
            image, label = split[index]
            import torch

            logits = torch.from_numpy(session.run(None, {"images": prepare(image)[None].numpy()})[0])
            found = predicted_classes(logits, label.shape)[0].numpy()
            valid = label != 255
            np.add.at(counts[index], (label[valid], found[valid]), 1)
        stored = read_arrays(place / f"{name}.npz")
        assert (stored["confusion"] == counts).all()
        assert tuple(stored["ids"]) == split.ids
