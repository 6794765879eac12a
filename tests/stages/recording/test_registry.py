"""Registered students in a real store; the logged models in it are empty, since nobody loads them here."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
from tests.reporting.tree import Tree

from icsd.reporting import differences
from icsd.reporting.tables import comparison, contrasts
from icsd.stages.recording.card import model_card
from icsd.stages.recording.registry import register_students
from icsd.stages.validate import checked_params
from icsd.tracking import CHAMPION, Registry
from icsd.tracking.store import open_client

NAME = "icsd-shapes-resnet18"

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@pytest.fixture
def store(project, empty_store, monkeypatch):
    """The client of the project's own empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, project)
    return open_client(project)


def grid(project, client, name, *, quality, noise=0.002, alone="trained once", lr=0.05):
    """Results of a fake grid whose first seeds' runs have logged a model each; weights differ by ``name``."""
    from mlflow.entities import LoggedModelOutput

    options = {"methods": tuple(quality), "noise": noise, "quality": {"teacher": 0.9, **quality}}
    tree = Tree(project / name, seeds=(0, 1, 2), **options).write()
    results = tree.load()
    experiment = client.get_experiment_by_name("x")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("x")
    runs = {}
    for key, run in results.runs.items():
        made = client.create_run(experiment_id).info.run_id
        if run.seed == 0:
            model = client.create_logged_model(experiment_id, "network", made)
            client.log_outputs(made, [LoggedModelOutput(model.model_id, step=1)])
        mlflow = run.cost.mlflow.model_copy(update={"run_id": made})
        sha256 = f"{alone if run.method == 'none' else name}-{run.method}-{run.seed}"
        metrics = run.metrics.model_copy(update={"weights_sha256": sha256})
        params = run.training.params | ({} if run.method == "none" else {"train": {"lr": lr}})
        runs[key] = replace(
            run,
            metrics=metrics,
            cost=run.cost.model_copy(update={"mlflow": mlflow}),
            training=run.training.model_copy(update={"params": params}),
        )
    results = replace(results, runs=runs)
    draws = differences.resample(results, resamples=50, seed=0)
    return results, comparison.rows(results, draws), contrasts.all_rows(results, draws)


def register(project, results, *tables, gate=False):
    params = models_on(project)
    params = params.model_copy(update={"deploy": params.deploy.model_copy(update={"gate": gate})})
    register_students(project, params, results, *tables)


def models_on(project):
    params = checked_params(project)
    return params.model_copy(update={"tracking": params.tracking.model_copy(update={"models": True})})


def test_the_champion_begins_at_the_student_alone_and_moves_when_a_method_is_better(project, store, capsys):
    first = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.6}, noise=0.02)
    register(project, *first)
    registry = Registry(store)
    assert registry.champion(NAME).tags["icsd.method"] == "none"
    assert f"models:/{NAME}@champion is version 1" in capsys.readouterr().out

    register(project, *first)
    assert len(store.search_model_versions(f"name = '{NAME}'")) == 2  # the same weights are the same versions

    second = grid(project, store, "second", quality={"none": 0.6, "aicsd": 0.8})
    register(project, *second)
    champion = registry.champion(NAME)
    assert (champion.number, champion.tags["icsd.method"]) == ("3", "aicsd")
    assert "AICSD is" in store.get_registered_model(NAME).tags["icsd.champion_reason"]

    register(project, *second)
    assert registry.champion(NAME).number == "3"
    assert "none is established as better" in store.get_registered_model(NAME).tags["icsd.champion_reason"]


def test_a_champion_that_was_trained_again_from_the_same_is_compared_as_what_it_is_now(project, store):
    register(project, *grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8}))
    registry = Registry(store)
    assert registry.champion(NAME).number == "2"
    register(project, *grid(project, store, "second", quality={"none": 0.6, "aicsd": 0.8}))
    assert registry.champion(NAME).number == "3"
    assert "none is established as better" in store.get_registered_model(NAME).tags["icsd.champion_reason"]
    register(project, *grid(project, store, "third", quality={"none": 0.9, "aicsd": 0.8}))
    assert registry.champion(NAME).number == "1"  # the student alone, with the weights that it always had
    assert store.get_model_version_by_alias(NAME, "aicsd").version in (4, "4")


def test_a_champion_that_is_not_part_of_the_grid_stays(project, store):
    register(project, *grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8}))
    results, *tables = grid(project, store, "second", quality={"none": 0.6})
    register(project, results, *tables)
    assert Registry(store).champion(NAME).number == "2"
    reason = store.get_registered_model(NAME).tags["icsd.champion_reason"]
    assert reason == "AICSD stays, untested: its scores on each image are not part of this grid"


def test_a_network_whose_run_is_in_another_store_is_named_and_does_not_keep_others_out(
    project, store, capsys
):
    results, *tables = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    elsewhere = {}
    for key, run in results.runs.items():
        run_id = "f" * 32 if run.method == "none" else run.cost.mlflow.run_id
        mlflow = run.cost.mlflow.model_copy(update={"run_id": run_id})
        elsewhere[key] = replace(run, cost=run.cost.model_copy(update={"mlflow": mlflow}))
    register(project, replace(results, runs=elsewhere), *tables)
    (version,) = store.search_model_versions(f"name = '{NAME}'")
    assert version.tags["icsd.method"] == "aicsd"
    said = capsys.readouterr().out
    assert f"models:/{NAME}: not registered, because this store does not have" in said
    assert "logged models: Student alone\n" in said


def test_a_champion_of_another_grid_is_not_compared(project, store):
    """The means alone do not say how much its difference depends on the choice of images."""
    register(project, *grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8}))
    assert Registry(store).champion(NAME).number == "2"
    register(project, *grid(project, store, "second", quality={"none": 0.6, "aicsd": 0.9}, lr=0.1))
    assert Registry(store).champion(NAME).number == "2"
    assert store.get_model_version_by_alias(NAME, "aicsd").version in (3, "3")
    reason = store.get_registered_model(NAME).tags["icsd.champion_reason"]
    assert reason == (
        "AICSD stays, untested: its scores on each image are not part of this grid, whose version 3 was "
        "trained otherwise; to take that one, move the alias by hand"
    )


def test_a_champion_on_other_images_stays(project, store):
    register(project, *grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.6}))
    better, *tables = grid(
        project, store, "second", quality={"none": 0.6, "aicsd": 0.9}, alone="trained again"
    )
    runs = {
        key: replace(run, ids=tuple(f"other-{name}" for name in run.ids)) for key, run in better.runs.items()
    }
    register(project, replace(better, runs=runs), *tables)
    assert Registry(store).champion(NAME).number == "1"
    assert "other images" in store.get_registered_model(NAME).tags["icsd.champion_reason"]


def test_a_version_says_what_it_is(project, store):
    results, *tables = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    register(project, results, *tables)
    version = store.get_model_version_by_alias(NAME, "aicsd")
    assert version.run_id == results.runs["resnet18", "aicsd", 0].cost.mlflow.run_id
    assert version.tags["icsd.seed"] == "0"
    assert version.tags["icsd.weights_sha256"] == "first-aicsd-0"
    for expected in (
        "## AICSD · ResNet-18 on shapes",
        "12 images of the split test",
        "a clear gain",
        "480 training images, 80 for validation; 6 epochs",
        "from scratch",
        "A narrow network (0.25 of the published width)",
        f'mlflow.pyfunc.load_model("models:/{NAME}@aicsd")',
    ):
        assert expected in version.description


def test_the_card_names_the_classes_that_the_network_hardly_recognises(project, store):
    results, *tables = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    run = results.runs["resnet18", "aicsd", 0]
    scores = [0.01, None, *run.metrics.iou_per_class[2:]]
    metrics = run.metrics.model_copy(update={"iou_per_class": scores, "absent_classes": ("road",)})
    row = tables[0][tables[0]["method"] == "aicsd"].to_dict("records")[0]
    text = model_card(NAME, [replace(run, metrics=metrics)], row)
    assert "Hardly recognises (IoU below 5 %): sky." in text
    assert "Never measured, absent from the labels: road." in text
    assert "One training" in text


def test_without_logged_models_nothing_is_registered(project, store):
    results, *tables = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    register_students(project, checked_params(project), results, *tables)
    assert store.search_registered_models() == []


def test_a_store_that_does_not_answer_stops_nothing(project, store, monkeypatch, caplog):
    results, *tables = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    register(project, results, *tables)
    assert "MLflow cannot be reached" in caplog.text


def test_the_alias_is_called_champion():
    assert CHAMPION == "champion"


def files_of(method, *, form="int8", verdict="keeps its mIoU"):
    """The report's table of files, with one row."""
    numbers = {"own_delta": -1.25, "own_low": -1.5, "own_high": -1.0, "rope": 0.5, "miou": 61.0}
    numbers |= {"p50_ms": 2.0, "p95_ms": 3.0, "megabytes": 1.5}
    losing = "sky (−4.0, −5.0 to −3.0)" if verdict == "loses mIoU" else None
    texts = {"student": "resnet18", "method": method, "form": form, "verdict": verdict, "losing": losing}
    return pd.DataFrame([numbers | texts])


def test_the_gate_keeps_a_champion_whose_challenger_has_a_file_that_loses(project, store, capsys):
    better = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    register(project, *better, files_of("aicsd", verdict="loses mIoU"), gate=True)
    registry = Registry(store)
    assert registry.champion(NAME).tags["icsd.method"] == "none"
    reason = store.get_registered_model(NAME).tags["icsd.champion_reason"]
    assert reason.startswith("AICSD does not take over, as deploy.gate asks its files: int8 loses mIoU")
    assert "sky" in reason
    assert reason in capsys.readouterr().out

    register(project, *better, files_of("aicsd"), gate=True)
    assert registry.champion(NAME).tags["icsd.method"] == "aicsd"


def test_the_gate_is_shut_where_files_were_not_measured(project, store):
    better = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    register(project, *better, files_of("kd"), gate=True)
    assert Registry(store).champion(NAME).tags["icsd.method"] == "none"
    assert "they were not measured" in store.get_registered_model(NAME).tags["icsd.champion_reason"]


def test_without_a_gate_files_decide_nothing(project, store):
    better = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    register(project, *better, files_of("aicsd", verdict="loses mIoU"))
    assert Registry(store).champion(NAME).tags["icsd.method"] == "aicsd"


def test_the_card_says_what_files_of_its_network_score_and_no_others(project, store):
    better = grid(project, store, "first", quality={"none": 0.6, "aicsd": 0.8})
    register(project, *better, files_of("aicsd"))
    card = store.get_model_version_by_alias(NAME, "aicsd").description
    assert (
        "### Files\n\n- int8: 1.50 MB, 2.00 ms an image (median; 95th percentile 3.00), mIoU 61.00 %. "
        in card
    )
    assert "int8 keeps its mIoU: −1.25 points (95 % interval −1.50 to −1.00)" in card
    assert "### Files" not in store.get_model_version_by_alias(NAME, "none").description
