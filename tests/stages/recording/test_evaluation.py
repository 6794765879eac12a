"""The record of an evaluation in MLflow."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.project import change
from tests.reporting.tree import Tree

from icsd import tracking
from icsd.records import Agreement, CostRecord, MetricsRecord, MlflowRecord, read_record, write_record
from icsd.runs import RunKey
from icsd.stages.recording.evaluation import record_measurement, run_of, scores
from icsd.stages.validate import checked_params
from icsd.tracking import NullTracker

METRICS = MetricsRecord(
    dataset="shapes",
    method="kd",
    student="resnet18",
    seed=0,
    split="test",
    num_images=5,
    classes=("sky", "road"),
    miou=0.25,
    pixel_accuracy=0.5,
    class_accuracy=0.4,
    iou_per_class=(0.25, None),
    absent_classes=("road",),
    agreement=Agreement(pixels=0.9, kl=0.1, ics_distance=2.0),
    parameters=10,
    flops=None,
    flops_input=None,
    weights_sha256="0" * 64,
)


def test_scores_have_the_names_that_mlflow_shows():
    assert dict(scores(METRICS)) == {
        "report/miou": 0.25,
        "report/pixel_accuracy": 0.5,
        "report/class_accuracy": 0.4,
        "report/agreement_pixels": 0.9,
        "report/agreement_kl": 0.1,
        "report/agreement_ics_distance": 2.0,
        "report/iou/sky": 0.25,
    }


def test_a_teacher_has_no_agreement():
    alone = METRICS.model_copy(update={"agreement": None})
    assert not [name for name, _ in scores(alone) if "agreement" in name]


@pytest.mark.parametrize(
    ("mlflow", "is_found"),
    [
        (None, False),
        (MlflowRecord(experiment="icsd-shapes", run_id="abc"), True),
        (MlflowRecord(experiment="icsd-shapes", run_id=None, key="def"), True),
        (MlflowRecord(experiment="icsd-shapes", run_id=None), False),
    ],
    ids=["tracking off", "recorded", "not delivered yet", "older file"],
)
def test_the_run_that_trained_a_network_is_in_its_cost_file(tmp_path, mlflow, is_found):
    cost = CostRecord(
        seconds_training=1.0,
        seconds_per_epoch=1.0,
        images_per_second=1.0,
        peak_memory_mb=None,
        device="cpu",
        machine="",
        torch="",
        extra_parameters=0,
        started="",
        finished="",
        resumed=0,
        mlflow=mlflow,
        git=None,
        state="",
    )
    write_record(tmp_path / "cost.json", cost)
    assert run_of(tmp_path / "cost.json") == (mlflow if is_found else None)
    assert run_of(tmp_path / "gone.json") is None


def test_a_damaged_cost_file_costs_no_scores(tmp_path, capsys):
    (tmp_path / "cost.json").write_text("{")
    assert run_of(tmp_path / "cost.json") is None
    assert "cost.json" in capsys.readouterr().out


class Recorder(NullTracker):
    def __init__(self):
        self.points, self.names, self.specs = {}, [], []

    def log(self, metrics, step):
        self.points[step] = metrics

    def artifact(self, path, *, folder=""):
        self.names.append(f"{folder}/{path.name}")

    def model(self, network, spec):
        self.specs.append(spec)


@pytest.fixture
def evaluation(project, monkeypatch):
    """What an evaluation of a network knows, with tracking on and every call recorded."""
    change(project, tracking={"enabled": True, "models": True})
    recorder = Recorder()
    monkeypatch.setattr(tracking, "open_tracker", lambda **_: recorder)
    Tree(project, quality={"kd": 0.6}).write_run("kd", "resnet18", 0)
    cost = read_record(project / KEY.cost, CostRecord)
    made = MlflowRecord(experiment="icsd-shapes", run_id="abc")
    write_record(project / KEY.cost, cost.model_copy(update={"mlflow": made}))
    image = np.zeros((8, 8, 3), np.uint8)
    return SimpleNamespace(root=project, params=checked_params(project), split=[(image, image)]), recorder


KEY = RunKey("shapes", "kd", "resnet18", 0)
MEASURED: Any = SimpleNamespace(record=METRICS, network=None)


def test_a_measurement_adds_scores_after_the_last_epoch_and_a_model_with_a_telling_name(evaluation):
    evaluated, recorder = evaluation
    record_measurement(evaluated, KEY, MEASURED, folder=evaluated.root / KEY.results)
    assert recorder.points == {6: dict(scores(METRICS))}
    assert recorder.names == ["results/metrics.json"]
    (spec,) = recorder.specs
    assert spec.name == "kd-resnet18-seed0"
    assert spec.metadata == {"classes": ["sky", "road"], "weights_sha256": "0" * 64}
    assert spec.input_scale == evaluated.params.images.input_scale


@pytest.mark.parametrize(("enabled", "models"), [(False, True), (True, False)])
def test_what_is_turned_off_is_not_recorded(evaluation, enabled, models):
    evaluated, recorder = evaluation
    change(evaluated.root, tracking={"enabled": enabled, "models": models})
    evaluated.params = checked_params(evaluated.root)
    record_measurement(evaluated, KEY, MEASURED, folder=evaluated.root / KEY.results)
    assert recorder.specs == []
    assert bool(recorder.points) is enabled


def test_a_network_without_a_run_is_measured_all_the_same(evaluation):
    evaluated, recorder = evaluation
    (evaluated.root / KEY.cost).unlink()
    record_measurement(evaluated, KEY, MEASURED, folder=evaluated.root / KEY.results)
    assert recorder.points == {}
