"""What MLflow is told of a measurement."""

import pytest

from icsd.records import Agreement, CostRecord, MetricsRecord, MlflowRecord, write_record
from icsd.stages.recording.evaluation import run_of, scores

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
