import csv
import json
import subprocess

import pytest
from tests.imports import ROOT

from icsd.commands.experiments import reading
from icsd.commands.experiments.elsewhere import read_dependencies, trained_elsewhere
from icsd.commands.experiments.run import show_experiments
from icsd.errors import UserError
from icsd.yaml_files import read_yaml


def entry(rev, name, alw, metrics, *, error=None, **more):
    data = {
        "params": {"params.yaml": {"data": {"alw": {"decay": alw}, "train": {"epochs": 5}}}},
        "metrics": {"reports/metrics.json": {"data": metrics}},
    }
    return {"rev": rev, "name": name, "data": data if error is None else None, "error": error, **more}


def metrics(aicsd, low=-0.01):
    return {
        "dataset": "shapes",
        "teacher": {"miou": 0.33},
        "resnet18": {
            "aicsd": {"miou": aicsd, "std": 0.02, "delta": aicsd - 0.25, "low": low, "high": 0.05},
            "none": {"miou": 0.25, "std": 0.01},
        },
    }


def experiment(name, rev, executor=None, **entries):
    return {
        "name": name,
        "revs": [{**entry(rev, name, **entries), "experiments": None}],
        "executor": executor,
    }


LISTED = [
    entry("workspace", None, "cosine", metrics(0.27), experiments=None),
    entry(
        "a" * 40,
        "main",
        "linear",
        metrics(0.26),
        experiments=[
            experiment("wave", "b" * 40, alw="cosine", metrics=metrics(0.27)),
            experiment("waits", "c" * 40, {"state": "queued"}, alw="step", metrics=metrics(0.26)),
            experiment(
                "broken",
                "d" * 40,
                {"state": "failed"},
                alw="x",
                metrics={},
                error={"type": "Bad", "msg": "why"},
            ),
        ],
    ),
]


@pytest.fixture
def listed(monkeypatch):
    """DVC lists the experiments above."""

    class Done:
        returncode, stdout, stderr = 0, json.dumps(LISTED), ""

    calls = []

    def done(command, **_):
        calls.append(command)
        return Done

    monkeypatch.setattr(subprocess, "run", done)
    return calls


def row(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return line


def test_an_experiment_shows_what_it_changed_and_what_came_out(listed, tmp_path):
    text = show_experiments(tmp_path)
    assert text.splitlines()[0].split() == [
        *("Experiment", "State", "Changed", "Dataset", "Teacher", "Student", "alone", "AICSD")
    ]
    wave = row(text, "wave")
    assert wave.split()[1:5] == ["success", 'alw.decay="cosine"', "shapes", "33.00"]
    assert "27.00 ± 2.00 (+2.00: −1.00 to +5.00)" in wave
    assert "25.00 ± 1.00" in wave
    assert row(text, "main").split()[2] == "–"
    assert 'alw.decay="cosine"' in row(text, "workspace")


def test_what_waits_or_failed_has_no_numbers_and_says_why(listed, tmp_path):
    text = show_experiments(tmp_path)
    assert "queued" in row(text, "waits")
    assert "26.00" not in row(text, "waits")  # the listed ones are those that it started from
    assert "failed" in row(text, "broken")
    assert "broken: Bad: why" in text


def test_methods_can_be_chosen(listed, tmp_path):
    text = show_experiments(tmp_path, methods=["aicsd"])
    assert "Student alone" not in text.splitlines()[0]
    with pytest.raises(
        UserError, match=r"icsd: no experiment has results of this method; known are aicsd, none"
    ):
        show_experiments(tmp_path, methods=["icsd"])


def test_csv_has_a_row_per_method_in_fractions(listed, tmp_path):
    rows = list(csv.DictReader(show_experiments(tmp_path, as_csv=True).splitlines()))
    wave = {each["method"]: each for each in rows if each["experiment"] == "wave"}
    assert (wave["aicsd"]["miou"], wave["aicsd"]["low"], wave["none"]["delta"]) == ("0.27", "-0.01", "")
    assert [each["method"] for each in rows if each["experiment"] == "broken"] == [""]


def test_all_commits_are_asked_of_dvc(listed, tmp_path):
    show_experiments(tmp_path, all_commits=True)
    assert listed[0][-1] == "-A"


def test_outside_a_repository_the_message_is_dvcs(tmp_path):
    with pytest.raises(UserError, match="`dvc exp show` failed"):
        show_experiments(tmp_path)


def with_hashes(deps, outs):
    return {
        "rev": "a" * 40,
        "name": "main",
        "data": {
            kind: {path: {"hash": value} for path, value in values.items()}
            for kind, values in (("deps", deps), ("outs", outs))
        },
    }


DEPENDENCIES = {
    True: ["src/code", "data/${dataset}/teacher.json"],
    False: ["src/code", "data/${dataset}/${item.method}/${item.student}.json", "runs/${dataset}/teacher"],
}
DEPS = {
    "src/code": "1",
    "data/shapes/teacher.json": "2",
    "data/shapes/kd/resnet18.json": "3",
    "runs/shapes/teacher": "4",
}
OUTS = {"runs/shapes/teacher": "4", "runs/shapes/kd/resnet18-0": "5", "data/shapes/raw": "6"}


@pytest.mark.parametrize(
    ("deps", "outs", "named"),
    [
        ({}, {}, []),
        ({}, {"runs/shapes/kd/resnet18-0": "9"}, ["kd/resnet18-0"]),
        ({"data/shapes/kd/resnet18.json": "9"}, {"runs/shapes/kd/resnet18-0": "9"}, []),
        ({"src/code": "9"}, {"runs/shapes/kd/resnet18-0": "9", "runs/shapes/teacher": "9"}, []),
        # Its students have another teacher, which is a reason.
        (
            {"runs/shapes/teacher": "9"},
            {"runs/shapes/kd/resnet18-0": "9", "runs/shapes/teacher": "9"},
            ["teacher"],
        ),
        ({"src/code": None}, {"runs/shapes/kd/resnet18-0": "9"}, []),  # it is not known
        ({}, {"data/shapes/raw": "9"}, []),
    ],
)
def test_a_network_that_differs_for_no_reason_was_trained_elsewhere(deps, outs, named):
    own, base = with_hashes(DEPS | deps, OUTS | outs), with_hashes(DEPS, OUTS)
    assert list(trained_elsewhere(own, base, DEPENDENCIES)) == named


def test_both_kinds_of_students_have_the_dependencies_of_the_stage_that_is_asked():
    stages = read_yaml(ROOT / "dvc.yaml")["stages"]
    assert read_dependencies(ROOT) == {
        True: stages["train_teacher"]["deps"],
        False: stages["distill"]["deps"],
    }


def test_rows_that_were_trained_elsewhere_are_marked_and_explained(listed, tmp_path, monkeypatch):
    monkeypatch.setattr(
        reading, "trained_elsewhere", lambda own, base, _: ["teacher"] if own["name"] == "wave" else []
    )
    text = show_experiments(tmp_path)
    assert row(text, "wave").split()[:2] == ["wave", "≠"]
    assert "≠ wave: trained with another machine, torch or runtime than main: teacher\n" in text
    assert text.count("≠") == 2
    rows = list(csv.DictReader(show_experiments(tmp_path, as_csv=True).splitlines()))
    assert {each["experiment"] for each in rows if each["elsewhere"] == "teacher"} == {"wave"}
