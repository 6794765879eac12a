"""The stage on a tiny grid with students that trace quickly and were trained for a few steps."""

import csv
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from tests.libraries import write_own
from tests.project import change, entered, outputs

from icsd.arrays import read_arrays
from icsd.core.metrics import mean_iou
from icsd.core.predictions import predicted_classes
from icsd.data.prepared import REPORT, PreparedData
from icsd.data.transforms import prepare
from icsd.deployed import DeploymentRecord
from icsd.deployment.runners import open_file
from icsd.errors import UserError
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
    """The measured project after the stage with all formats, and the report."""
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
            logits = torch.from_numpy(session.run(None, {"images": prepare(image)[None].numpy()})[0])
            found = predicted_classes(logits, label.shape)[0].numpy()
            valid = label != 255
            np.add.at(counts[index], (label[valid], found[valid]), 1)
        stored = read_arrays(place / f"{name}.npz")
        assert (stored["confusion"] == counts).all()
        assert tuple(stored["ids"]) == split.ids


def test_the_report_has_the_files_beside_their_network_and_the_teacher(deployed):
    with (deployed / "reports/shapes/deployment.csv").open(encoding="utf-8") as file:
        rows = {(row["method"], row["form"]): row for row in csv.DictReader(file)}
    assert list(rows) == [
        *(("teacher", "pytorch"), ("none", "pytorch")),
        *(("none", name) for name in ("onnx", "int8", "torch")),
    ]
    for name in ("onnx", "int8", "torch"):
        counts = read_arrays(deployed / f"deployed/shapes/resnet18/{name}.npz")["confusion"]
        assert float(rows["none", name]["miou"]) == pytest.approx(100 * mean_iou(counts.sum(0)), rel=1e-4)
    assert abs(float(rows["none", "torch"]["own_delta"])) < 0.1  # the same network in other words
    assert rows["none", "onnx"]["verdict"] == "keeps its mIoU"
    assert '<figure id="deployment">' in (deployed / "reports/shapes/report.html").read_text()


@pytest.fixture
def project(measured, tmp_path, monkeypatch):
    """A copy of the measured project, before the stage."""
    folder = tmp_path / "project"
    shutil.copytree(measured, folder)
    with entered(folder):
        write_own(folder, monkeypatch)
        yield folder


def test_without_formats_there_is_one_small_file_and_nothing_is_looked_at(project, capsys):
    for name in ("runs", "results", "data/shapes/processed"):
        shutil.rmtree(project / name)
    deploy(project)
    assert capsys.readouterr().out == "deploy.formats is empty: no files\n"
    assert [path.name for path in (project / "deployed/shapes").iterdir()] == ["deployment.json"]
    assert record_of(project) == DeploymentRecord(dataset="shapes", students=())


def test_a_method_that_is_champion_is_timed_beside_the_student_alone(project, monkeypatch):
    """And files may take images as they are read."""
    monkeypatch.setattr(
        "icsd.stages.deploy.champions.champion_of",
        lambda results, student, resampled: (results.of(student, "kd")[0], "so it is"),
    )
    change(project, deploy={"formats": ["torch"], "preprocessing": "inside"})
    deploy(project)
    [student] = record_of(project).students
    assert (student.method, student.reason) == ("kd", "so it is")
    assert student.alone.bytes == student.own.bytes
    file = open_file(project / "deployed/shapes/resnet18/torch.pt2")
    assert (file.card.preprocessing, file.card.network) == ("inside", "kd · resnet18 · seed 0")
    image = PreparedData(project / "data/shapes/processed").split(REPORT)[0][0]
    assert file.logits([image]).shape == (1, 9, *image.shape[:2])


def test_a_network_that_was_replaced_since_is_not_exported(project):
    change(project, deploy={"formats": ["torch"]})
    deploy(project)
    before = outputs(project / "deployed")
    weights = project / "runs/shapes/none/resnet18-0/student.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="damaged or replaced since training wrote it"):
        deploy(project)
    assert outputs(project / "deployed") == before


def test_without_a_score_there_is_nothing_to_deploy(project):
    change(project, deploy={"formats": ["torch"]})
    shutil.rmtree(project / "results")
    with pytest.raises(UserError, match=r"no student has a score.*deploy\.formats to \[\]"):
        deploy(project)
