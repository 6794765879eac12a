"""The whole graph, by the commands that people type."""

import csv
import json
import re

import mlflow
import numpy as np
import pytest
from tests.project import reproduce, run, stale_stages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # what torch.export's loader says of itself
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    # SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


def stages_run(output):
    return re.findall(r"Running stage '([^']+)'", output)


def test_the_table_holds_every_network_of_the_grid(reproduced):
    with (reproduced / "reports/shapes/comparison.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["teacher", "none", "kd", "aicsd"]
    assert all(0 <= float(row["miou_mean"]) <= 100 for row in rows)
    summary = json.loads((reproduced / "reports/metrics.json").read_text(encoding="utf-8"))
    assert set(summary["resnet18"]) == {"none", "kd", "aicsd"}
    assert (reproduced / "reports/shapes/report.html").stat().st_size > 100_000


def test_a_second_repro_runs_nothing(reproduced):
    assert stages_run(run(reproduced, "dvc", "repro").stdout) == []
    assert "up to date" in run(reproduced, "dvc", "status").stdout


def test_mlflow_shows_one_family_whose_members_are_named_and_complete(reproduced):
    client = mlflow.MlflowClient(f"sqlite:///{reproduced}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    (parent,) = [run for run in runs.values() if run.data.tags["icsd.role"] == "parent"]
    children = {
        name: child
        for name, child in runs.items()
        if child.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    assert set(children) == {
        "teacher · resnet18 · seed 0",
        "none · resnet18 · seed 0",
        "kd · resnet18 · seed 0",
        "aicsd · resnet18 · seed 0",
    }
    assert {child.info.status for child in runs.values()} == {"FINISHED"}
    student = children["aicsd · resnet18 · seed 0"]
    for key in ("loss/ce", "loss/icsd", "loss/kd", "weight/kd"):
        points = client.get_metric_history(student.info.run_id, key)
        assert [point.step for point in points] == [1, 2, 3], key
    measured = json.loads((reproduced / "results/shapes/aicsd/resnet18-0/metrics.json").read_text())
    assert student.data.metrics["report/miou"] == pytest.approx(measured["miou"])
    assert parent.data.metrics["resnet18/aicsd/miou"] == pytest.approx(measured["miou"], abs=1e-4)
    stored = [artifact.path for artifact in client.list_artifacts(parent.info.run_id, "figures")]
    assert any("ics_matrices" in path for path in stored)


def test_a_registered_student_is_loaded_in_three_lines_without_pickle(reproduced, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(f"sqlite:///{reproduced}/mlflow.db")
    client = mlflow.MlflowClient()
    aliases = client.get_registered_model("icsd-shapes-resnet18").aliases
    assert set(aliases) == {"none", "kd", "aicsd", "champion"}
    assert aliases["champion"] == aliases["none"]  # one seed establishes nothing
    model = mlflow.pyfunc.load_model("models:/icsd-shapes-resnet18@aicsd")
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    assert model.predict(image[None]).argmax(1)[0].shape == (40, 56)
    card = client.get_model_version_by_alias("icsd-shapes-resnet18", "aicsd").description
    assert "AICSD · ResNet-18 on shapes" in card


def test_an_experiment_with_another_decay_runs_only_what_depends_on_it(own_copy):
    before = (own_copy / "params.yaml").read_bytes()
    done = run(own_copy, "dvc", "exp", "run", "-n", "wave", "-S", "alw.decay=cosine")
    ran = [name for name in stages_run(done.stdout) if name != "validate"]
    assert ran == ["distill@aicsd-resnet18-0", "evaluate_distilled@aicsd", "deploy", "report"]
    shown = json.loads(run(own_copy, "dvc", "exp", "show", "--json").stdout)
    assert "wave" in json.dumps(shown)
    run(own_copy, "git", "checkout", "-q", "--", ".")
    run(own_copy, "dvc", "checkout", "-q")
    assert (own_copy / "params.yaml").read_bytes() == before
    assert stages_run(run(own_copy, "dvc", "repro").stdout) == []


def test_an_experiment_in_a_temporary_folder_is_tracked_in_the_same_store(own_copy):
    run(own_copy, "dvc", "exp", "run", "--temp", "-n", "side", "-S", "alw.decay=step")
    client = mlflow.MlflowClient(f"sqlite:///{own_copy}/mlflow.db")
    experiment = client.get_experiment_by_name("icsd-shapes")
    found = client.search_runs([experiment.experiment_id], "tags.`icsd.group` LIKE 'side-%'")
    names = sorted(run.info.run_name.partition("-")[0] for run in found)
    assert names == ["aicsd · resnet18 · seed 0", "side"]
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.mark.parametrize("key", ["alw.decay=cosin", "alw.dekay=cosine", "train.epochs=0"])
def test_a_mistake_ends_an_experiment_before_any_training(own_copy, key):
    done = run(own_copy, "dvc", "exp", "run", "-S", key, ok=False)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert set(stages_run(output)) <= {"validate"}
    assert key.split("=")[0] in output
    run(own_copy, "git", "checkout", "-q", "--", ".")
    run(own_copy, "dvc", "checkout", "-q")


def test_editing_a_method_trains_its_own_students_again_and_no_others(own_copy):
    path = own_copy / "src/icsd/methods/kd.py"
    source = path.read_text(encoding="utf-8")
    path.write_text(source + "# a comment is a change\n", encoding="utf-8")
    ran = stages_run(run(own_copy, "dvc", "repro").stdout)
    trained = {name for name in ran if name.startswith(("train_teacher", "baselines", "distill"))}
    assert trained == {"baselines@kd-resnet18-0", "distill@aicsd-resnet18-0"}  # AICSD is made of KD
    path.write_text(source, encoding="utf-8")
    reproduce(own_copy)  # all from the run cache


def test_editing_a_block_makes_its_own_runs_stale(own_copy):
    path = own_copy / "params.yaml"
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r"(  kd:\n    alw: false\n    weights:\n      kd: )1.0", r"\g<1>2.0", text)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    assert stale_stages(own_copy) == {"validate"}  # which says whom it concerns
    run(own_copy, "dvc", "repro", "validate")
    assert stale_stages(own_copy) == {"baselines@kd-resnet18-0"}
    path.write_text(text, encoding="utf-8")
    run(own_copy, "dvc", "repro", "validate")


def test_a_value_that_the_preset_has_already_trains_nothing(own_copy):
    """In the preset of the tiny project, too: students train for 3 epochs."""
    done = run(own_copy, "dvc", "exp", "run", "-n", "same", "-S", "train.epochs=3")
    assert stages_run(done.stdout) == ["validate"]
    assert "train.epochs" in run(own_copy, "dvc", "params", "diff", "HEAD", "same").stdout
    shown = json.loads(run(own_copy, "dvc", "exp", "show", "--json").stdout)
    listed = shown[0]["data"]["params"]["params.yaml"]["data"]
    assert listed["train"]["epochs"] == 3
    assert {"grid", "alw", "methods", "runtime"} <= set(listed)
    run(own_copy, "git", "checkout", "-q", "--", ".")
    run(own_copy, "dvc", "checkout", "-q")
