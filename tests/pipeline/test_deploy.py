"""The stage ``deploy`` in the graph: champions are exported once, shown in the report, and stale alone."""

import csv
import json
import re

import mlflow
import pytest
from tests.project import change, commit, make_project, outputs, reproduce, run, stale_stages

from icsd.deployment.runners import open_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


def stages_run(output):
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project reproduced with two formats."""
    folder = make_project(
        tmp_path_factory.mktemp("deploy") / "project",
        grid={"baselines": ["none"], "distilled": []},
        tracking={"models": True},
        deploy={"formats": ["onnx", "int8"], "calibration": 4, "gate": True},
    )
    commit(folder)
    reproduce(folder)
    return folder


def test_a_repro_deploys_the_champion_and_a_second_one_runs_nothing(project):
    assert stages_run(run(project, "dvc", "repro").stdout) == []
    for name in ("onnx", "int8"):
        card = open_file(project / f"deployed/shapes/resnet18/{name}.onnx").card
        assert (card.network, card.preprocessing) == ("none · resnet18 · seed 0", "outside")
    with (project / "reports/shapes/deployment.csv").open(encoding="utf-8") as file:
        rows = {row["form"]: row for row in csv.DictReader(file) if row["method"] == "none"}
    assert rows["onnx"]["verdict"] == "keeps its mIoU"
    assert abs(float(rows["onnx"]["own_delta"])) < 0.1
    assert float(rows["int8"]["megabytes"]) < float(rows["onnx"]["megabytes"])
    assert "## As files" in (project / "reports/shapes/README.md").read_text(encoding="utf-8")


def test_mlflow_has_the_files_in_the_champions_run_and_on_its_card(project):
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    champion = runs["none · resnet18 · seed 0"]
    assert {"deployed/int8/miou", "deployed/onnx/p50_ms"} <= set(champion.data.metrics)
    stored = [artifact.path for artifact in client.list_artifacts(champion.info.run_id, "deployed")]
    assert sorted(stored) == ["deployed/int8.onnx", "deployed/onnx.onnx"]
    [parent] = [each for each in runs.values() if each.data.tags["icsd.role"] == "parent"]
    assert "deployed/resnet18/int8/own_delta" in parent.data.metrics
    card = client.get_model_version_by_alias("icsd-shapes-resnet18", "none").description
    assert "### Files" in card


def test_another_calibration_makes_nothing_but_deploy_stale_and_no_format_nothing_else(project):
    before = (project / "params.yaml").read_bytes()
    trained = outputs(project / "runs")
    change(project, deploy={"calibration": 2})
    run(project, "dvc", "repro", "validate")
    assert stale_stages(project) == {"deploy"}
    change(project, deploy={"formats": [], "gate": False})
    assert stages_run(run(project, "dvc", "repro").stdout) == ["validate", "deploy", "report"]
    assert list(outputs(project / "deployed/shapes")) == ["deployment.json"]
    assert json.loads((project / "deployed/shapes/deployment.json").read_text())["students"] == []
    assert "As files" not in (project / "reports/shapes/report.html").read_text(encoding="utf-8")
    (project / "params.yaml").write_bytes(before)
    reproduce(project)
    assert outputs(project / "runs") == trained


def test_a_wrong_format_ends_a_repro_before_anything_else(project):
    before = (project / "params.yaml").read_bytes()
    change(project, deploy={"formats": ["onnxx"]})
    done = run(project, "dvc", "repro", ok=False)
    (project / "params.yaml").write_bytes(before)
    run(project, "dvc", "repro", "validate")
    assert done.returncode != 0
    assert set(stages_run(done.stdout)) <= {"validate"}
    assert "did you mean 'onnx'" in done.stdout + done.stderr
