"""The search: what it trains, writes, keeps and refuses."""

import csv
import shutil
from itertools import groupby

import pytest
from dvc.utils.serialize import modify_yaml
from tests.project import change, write_yaml

from icsd.commands.tune import trials
from icsd.commands.tune.factors import scaled
from icsd.commands.tune.run import tune
from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.stages.training import run as train
from icsd.stages.training.run import train_student
from icsd.stages.tuned_weights import read_tuned
from icsd.training.checkpoint import save_state
from icsd.yaml_files import read_yaml

FILES = ("configs/tuned/shapes.yaml", "configs/tuned/shapes.csv")


class Killed(Exception):
    """Simulates that the process is killed at the point where it is raised."""


def trials_of(folder):
    with (folder / FILES[1]).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {method: list(own) for method, own in groupby(rows, key=lambda row: row["method"])}


def trained(monkeypatch):
    """List of the trials that are trained from now on."""
    calls = []

    def remember(root, job, *, open_tracker):
        calls.append((job.key.method, job.block["weights"]))
        return train.train_trial(root, job, open_tracker=open_tracker)

    monkeypatch.setattr(trials, "train_trial", remember)
    return calls


def contents(folder):
    return [(folder / name).read_bytes() for name in FILES]


def test_every_method_has_the_same_trials(searched):
    rows = trials_of(searched)
    assert set(rows) == {"none", "kd", "aicsd"}
    assert [row["factor"] for row in rows["kd"]] == ["1.0", "0.316", "3.16"]
    assert [row["factor"] for row in rows["aicsd"]] == ["1.0", "0.316", "3.16"]
    assert len(rows["none"]) == 1


def test_the_best_trial_on_validation_gives_the_weights(searched):
    tuned, rows = read_tuned(searched, "shapes"), trials_of(searched)
    given = read_yaml(searched / "params.yaml")["methods"]
    assert set(tuned) == {"kd", "aicsd"}
    for name, entry in tuned.items():
        scores = {float(row["factor"]): float(row["miou"]) for row in rows[name]}
        assert entry.search.miou == scores[entry.search.factor] == max(scores.values())
        assert entry.weights == scaled(given[name]["weights"], entry.search.factor)
        assert entry.block == given[name]


def test_the_file_says_how_the_weights_were_found(searched):
    search, rows = read_tuned(searched, "shapes")["kd"].search, trials_of(searched)
    assert (search.trials, search.diverged, search.range) == (3, 0, 10.0)
    assert (search.epochs, search.seed, search.student, search.split) == (2, 1000, "resnet18", "validation")
    assert search.miou_untuned == float(rows["kd"][0]["miou"])
    assert search.miou_alone == float(rows["none"][0]["miou"])
    assert search.teacher_sha256 == sha256_of(searched / "runs/shapes/teacher/teacher.safetensors")
    assert search.data_sha256 == sha256_of(searched / "data/shapes/processed/manifest.json")


def test_the_file_has_the_layout_that_dvc_would_give_it(project):
    before = contents(project)
    with modify_yaml(project / FILES[0]):
        pass
    assert contents(project) == before


def test_nothing_of_the_pipeline_is_written_and_no_state_is_left(searched):
    assert [path.name for path in (searched / "runs/shapes").iterdir()] == ["teacher"]
    assert [path.name for path in (searched / "costs/shapes").iterdir()] == ["teacher.json"]
    assert not list((searched / ".state/runs").glob("shapes-*-1000-*"))


def test_a_trial_is_what_the_pipeline_would_train(project):
    change(project, methods={"kd": {"weights": {"kd": 0.316}}}, train={"epochs": 2})
    train_student(project, method="kd", student="resnet18", seed=1000)
    with (project / "runs/shapes/kd/resnet18-1000/history.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["val/miou"] == trials_of(project)["kd"][1]["miou"]


def test_a_second_search_trains_nothing_and_changes_nothing(project, monkeypatch):
    before, calls = contents(project), trained(monkeypatch)
    tune(project, methods=[], trials=None, student=None)
    assert calls == []
    assert contents(project) == before


def test_more_trials_add_to_those_that_there_are(project, monkeypatch):
    calls = trained(monkeypatch)
    tune(project, methods=["kd"], trials=4, student=None)
    assert calls == [("kd", {"kd": 0.178})]
    assert len(trials_of(project)["kd"]) == 4


def test_tuning_one_method_keeps_the_others(project):
    before = read_tuned(project, "shapes")
    tune(project, methods=["kd"], trials=1, student=None)
    after = read_tuned(project, "shapes")
    assert after["aicsd"] == before["aicsd"]
    assert after["kd"].search.trials == 1
    assert trials_of(project)["aicsd"]


def test_an_interrupted_search_ends_as_if_it_had_not_been(project, monkeypatch):
    before = read_tuned(project, "shapes")
    for name in FILES:
        (project / name).unlink()
    shutil.rmtree(project / ".state")
    save, saved = save_state, []

    def save_and_die(state, path):
        save(state, path)
        saved.append(path)
        if len(saved) == 5:  # two epochs each: the student alone, kd as it is, and half of the next
            raise Killed

    monkeypatch.setattr(train, "save_state", save_and_die)
    with pytest.raises(Killed):
        tune(project, methods=["kd"], trials=None, student=None)
    monkeypatch.setattr(train, "save_state", save)
    calls = trained(monkeypatch)
    tune(project, methods=["kd"], trials=None, student=None)
    assert calls == [("kd", {"kd": 0.316}), ("kd", {"kd": 3.16})]
    assert read_tuned(project, "shapes")["kd"] == before["kd"]


@pytest.mark.parametrize(
    "changes", [{"train": {"lr": 0.02}}, {"methods": {"kd": {"temperature": 2.0}}}, {"tuning": {"seed": 77}}]
)
def test_another_setup_begins_anew(project, monkeypatch, changes):
    calls = trained(monkeypatch)
    change(project, **changes)
    tune(project, methods=["kd"], trials=1, student=None)
    assert ("kd", {"kd": 1.0}) in calls


def test_a_trial_that_diverges_counts_and_is_not_chosen(project):
    change(project, tuning={"factor": 1e60}, methods={"kd": {"weights": {"kd": 1e30}}})
    tune(project, methods=["kd"], trials=2, student=None)
    assert [row["miou"] == "" for row in trials_of(project)["kd"]] == [True, False]
    entry = read_tuned(project, "shapes")["kd"]
    assert entry.weights == {"kd": 1.0}
    assert (entry.search.trials, entry.search.diverged) == (2, 1)
    assert entry.search.miou_untuned is None


def test_a_method_that_always_diverges_is_named(project):
    change(project, methods={"kd": {"weights": {"kd": 1e30}}})
    with pytest.raises(UserError, match=r"kd: every trial diverged"):
        tune(project, methods=["kd"], trials=2, student=None)
    assert read_tuned(project, "shapes")["kd"].search.trials == 3  # as it was


def test_the_epochs_of_a_trial_are_those_of_training_unless_they_are_given(project):
    written = read_yaml(project / "params.yaml")
    written["tuning"]["epochs"] = None
    write_yaml(project / "params.yaml", written)
    tune(project, methods=["kd"], trials=1, student=None)
    assert read_tuned(project, "shapes")["kd"].search.epochs == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"methods": ["kdd"]}, "did you mean 'kd'"),
        ({"methods": ["none"]}, "none has no weights"),
        ({"student": "resnet19"}, "did you mean 'resnet18'"),
        ({"trials": 0}, "at least 1, got 0"),
    ],
)
def test_what_cannot_be_tuned_is_refused(project, arguments, words):
    with pytest.raises(UserError, match=words):
        tune(project, **({"methods": [], "trials": None, "student": None} | arguments))


def test_a_teacher_that_params_yaml_no_longer_describes_is_noted(project, capsys):
    change(project, teacher={"epochs": 7})
    tune(project, methods=["kd"], trials=1, student=None)
    assert "note: params.yaml no longer describes runs/shapes/teacher (" in capsys.readouterr().out


def test_a_reported_seed_is_refused(project):
    change(project, grid={"seeds": [0, 1000]})
    with pytest.raises(UserError, match=r"tuning.seed: 1000 is one of grid.seeds"):
        tune(project, methods=[], trials=None, student=None)


def test_without_validation_images_there_is_no_tuning(project):
    preset = project / "configs/datasets/shapes.yaml"
    written = read_yaml(preset)
    written["data"]["splits"]["validation"] = None
    write_yaml(preset, written)
    with pytest.raises(UserError, match=r"data.holdout"):
        tune(project, methods=[], trials=None, student=None)


def test_a_damaged_list_of_trials_stops_the_search_before_it_trains(project, monkeypatch):
    calls = trained(monkeypatch)
    path = project / FILES[1]
    path.write_text(path.read_text().replace("kd,2,", "kd,two,"))
    with pytest.raises(UserError, match=r"shapes\.csv: line \d+, column trial: 'two' is no count; mend"):
        tune(project, methods=["cwd"], trials=1, student=None)
    assert calls == []


@pytest.mark.parametrize("content", ["", "methods: {}\nmethods: {}\n", "methods: {kd: 1}\n"])
def test_damaged_weights_stop_the_search_before_it_trains(project, monkeypatch, content):
    calls = trained(monkeypatch)
    (project / FILES[0]).write_text(content)
    with pytest.raises(
        UserError, match=r"shapes\.yaml: not as .* writes it; .*delete it and tune all methods"
    ):
        tune(project, methods=["kd"], trials=4, student=None)
    assert calls == []
    (project / FILES[0]).unlink()
    tune(project, methods=[], trials=None, student=None)
    assert calls == []  # what is in .state/ is not repeated
    assert set(read_tuned(project, "shapes")) == {"kd", "aicsd"}


def test_a_folder_that_cannot_be_written_is_found_before_the_search(project, monkeypatch):
    calls = trained(monkeypatch)
    for name in FILES:
        (project / name).unlink()
    (project / "configs/tuned").rename(project / "configs/moved")
    (project / "configs/tuned").touch()
    with pytest.raises(UserError, match="cannot be written"):
        tune(project, methods=["cwd"], trials=1, student=None)
    assert calls == []
