"""The record of a report in MLflow."""

import shutil

import pytest
from tests.reporting.tree import Tree

from icsd.stages.recording.report import flat_numbers, record_report
from icsd.stages.validate import checked_params
from icsd.tracking import group_id
from icsd.tracking.store import open_client

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


def test_a_summary_becomes_flat_numbers_without_gaps():
    summary = {
        "dataset": "shapes",
        "teacher": {"miou": 0.9},
        "resnet18": {"aicsd": {"miou": 0.5, "low": None}, "none": {"miou": 1}},
    }
    assert dict(flat_numbers(summary)) == {
        "teacher/miou": 0.9,
        "resnet18/aicsd/miou": 0.5,
        "resnet18/none/miou": 1.0,
    }


def test_the_parent_run_has_every_parameter_the_numbers_and_the_files(project, empty_store, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(empty_store, project)
    client = open_client(project)
    experiment = client.create_experiment("icsd-shapes")
    trained = client.create_run(experiment).info.run_id
    first, *others = (run.cost for run in Tree(project / "made-up").write().load().runs.values())
    mlflow = first.mlflow.model_copy(update={"run_id": trained, "experiment": "icsd-shapes"})
    costs = [first.model_copy(update={"mlflow": mlflow})]
    costs += [cost.model_copy(update={"mlflow": None}) for cost in others]
    report = project / "reports/shapes"
    (report / "figures").mkdir(parents=True)
    for name in ("report.html", "comparison.csv", "comparison.md", "deployment.md", "figures/miou.png"):
        (report / name).write_text(name)
    (report / "deployment.csv").write_text(
        "student,method,form,miou,own_delta,p50_ms\n"
        "resnet18,aicsd,pytorch,61,,3\nresnet18,aicsd,int8,60,-1,2.5\n"
    )
    params = checked_params(project)
    record_report(project, params, report, {"resnet18": {"aicsd": {"miou": 0.5}}}, costs)

    group = group_id(project, params.digest())
    (parent,) = client.search_runs([experiment], "tags.`icsd.role` = 'parent'")
    assert parent.data.tags["icsd.group"] == parent.info.run_name == group
    files = {"miou": 60, "own_delta": -1, "p50_ms": 2.5}
    assert parent.data.metrics == {
        "resnet18/aicsd/miou": 0.5,
        **{f"deployed/resnet18/int8/{name}": value for name, value in files.items()},
    }
    found = parent.data.params
    assert found["grid.seeds"] == "[0]"
    assert {"alw.decay", "methods.kd.weights.kd", "teacher.epochs", "data.reader"} <= set(found)
    for folder, name in (
        (None, "report.html"),
        (None, "params.yaml"),
        ("tables", "comparison.md"),
        ("tables", "deployment.md"),
        ("tables", "deployment.csv"),
        ("figures", "miou.png"),
    ):
        shown = {item.path.rpartition("/")[2] for item in client.list_artifacts(parent.info.run_id, folder)}
        assert name in shown
    assert client.get_run(trained).data.tags["icsd.reused_by"] == group
