"""Epochs under equal training time, from measured paces only."""

import json

import pytest
from tests.project import change, outputs

from icsd.errors import UserError
from icsd.params import load_params
from icsd.runs import RunKey
from icsd.stages.paces import (
    Pace,
    budgeted,
    determined_by,
    epochs_at,
    paces_of,
    read_paces,
    with_pace,
    write_paces,
)
from icsd.stages.training import run as training
from icsd.stages.training.job import student_job
from icsd.stages.training.run import train_student
from icsd.stages.validate import validate
from icsd.training.checkpoint import save_state

FILE = "configs/pace/shapes.yaml"


class Killed(Exception):
    """Simulates that the process is killed at the point where it is raised."""


def key(method, student="resnet18"):
    return RunKey("shapes", method, student, 0)


def measured(project, **paces):
    """Write paces of resnet18's methods, as if measured with the settings of params.yaml."""
    params = load_params(project)
    found = {
        method: Pace(
            pace=pace,
            milliseconds=10 * pace,
            milliseconds_alone=10.0,
            rounds=15,
            device="cpu",
            threads=1,
            precision="32-true",
            of=determined_by(params, key(method)),
        )
        for method, pace in paces.items()
    }
    write_paces(project, "shapes", {"resnet18": found})


@pytest.mark.parametrize(
    ("pace", "epochs", "left"),
    [(1.0, 36, 36), (1.4, 36, 26), (1.38, 36, 26), (2.0, 3, 2), (1.01, 36, 36), (50.0, 36, 1), (7.0, 1, 1)],
)
def test_epochs_are_as_many_as_the_time_of_the_student_alone_allows(pace, epochs, left):
    assert epochs_at(pace, epochs) == left


def test_schedules_are_stretched_over_the_epochs_that_are_left(prepared_project):
    change(prepared_project, train={"budget": "seconds", "epochs": 10})
    measured(prepared_project, kd=1.4, aicsd=2.0)
    params = load_params(prepared_project)
    job = student_job(budgeted(prepared_project, params, key("aicsd")), key("aicsd"))
    assert job.training.epochs == job.params.train.epochs == 5
    numbers = job.numbers["training"]
    assert (numbers["epochs"], numbers["budget"], numbers["pace"]) == (5, "seconds", 2.0)
    assert budgeted(prepared_project, params, key("kd")).train.epochs == 7


@pytest.mark.parametrize("method", ["none", "kd"])
def test_under_equal_epochs_nothing_changes(prepared_project, method):
    measured(prepared_project, kd=1.4)
    params = load_params(prepared_project)
    assert budgeted(prepared_project, params, key(method)) is params
    assert with_pace(params, 1.4) is params
    assert not {"budget", "pace"} & student_job(params, key(method)).numbers["training"].keys()


def test_the_student_alone_is_the_same_network_under_either_budget(prepared_project):
    equal_epochs = student_job(load_params(prepared_project), key("none")).numbers
    change(prepared_project, train={"budget": "seconds"})
    params = load_params(prepared_project)
    assert student_job(budgeted(prepared_project, params, key("none")), key("none")).numbers == equal_epochs


def test_all_methods_belong_to_one_execution(prepared_project):
    """Their MLflow runs are children of the run whose group has the digest of params.yaml."""
    change(prepared_project, train={"budget": "seconds", "epochs": 20})
    params = load_params(prepared_project)
    digests = {with_pace(params, pace).digest() for pace in (1.3, 1.4, 2.0)}
    assert digests == {params.digest()}
    change(prepared_project, train={"budget": "seconds", "epochs": 14})
    assert with_pace(load_params(prepared_project), 1.4).digest() != params.digest()


def validated(project):
    validate(project, show=False)
    return outputs(project / "data/shapes/validated")


def test_the_budget_makes_the_students_that_it_concerns_stale_and_another_pace_its_own(prepared_project):
    measured(prepared_project, kd=1.4, aicsd=1.5)
    given = validated(prepared_project)
    change(prepared_project, train={"budget": "seconds"})
    first = validated(prepared_project)
    assert {name for name in given if given[name] != first[name]} == {
        *("params.json", "students/aicsd/resnet18.json", "students/kd/resnet18.json")
    }
    measured(prepared_project, kd=1.2, aicsd=1.5)
    second = validated(prepared_project)
    assert {name for name in first if first[name] != second[name]} == {"students/kd/resnet18.json"}
    measured(prepared_project, kd=1.2, aicsd=1.5, icsd=1.3)
    change(prepared_project, grid={"baselines": ["none", "kd", "icsd"]})
    third = validated(prepared_project)
    own = {name for name in second if name.startswith("students/")}
    assert {name: second[name] for name in own} == {name: third[name] for name in own}
    assert "students/icsd/resnet18.json" in third


def test_measuring_makes_nothing_stale_under_equal_epochs(prepared_project):
    given = validated(prepared_project)
    measured(prepared_project, kd=1.4, aicsd=1.5)
    assert validated(prepared_project) == given


def test_what_was_not_measured_is_named_before_anything_runs(prepared_project):
    change(prepared_project, train={"budget": "seconds"})
    with pytest.raises(UserError, match=r"not measured with kd, aicsd \(resnet18\); .*`.* pace kd aicsd`"):
        validate(prepared_project, show=False)
    measured(prepared_project, kd=1.4)
    with pytest.raises(UserError, match=r"not measured with aicsd \(resnet18\); .*`.* pace aicsd`"):
        validate(prepared_project, show=False)


@pytest.mark.parametrize(
    ("block", "change_of", "told"),
    [
        ("train", {"batch": 6}, "batch: 4 then, 6 now"),
        ("images", {"crop": [32, 48]}, r"images\.crop: \[32, 32\] then, \[32, 48\] now"),
        ("methods", {"kd": {"resolution": "input"}}, r"method\.resolution: logits then, input now"),
        ("methods", {"kd": {"weights": {"kd": 3.0}}}, None),
        ("train", {"lr": 0.01, "epochs": 9}, None),
        ("runtime", {"threads": 2}, None),
    ],
)
def test_a_pace_is_refused_where_the_step_is_another(prepared_project, block, change_of, told):
    measured(prepared_project, kd=1.4, aicsd=1.5)
    change(prepared_project, **{block: change_of})
    change(prepared_project, train={"budget": "seconds"})
    params = load_params(prepared_project)
    if told is None:
        assert paces_of(prepared_project, params)["kd", "resnet18"] == 1.4
    else:
        with pytest.raises(UserError, match=rf"the step of kd with resnet18 was changed .*\({told}\)"):
            paces_of(prepared_project, params)


def test_a_file_that_was_edited_badly_is_named(prepared_project):
    measured(prepared_project, kd=1.4)
    path = prepared_project / FILE
    path.write_text(path.read_text(encoding="utf-8").replace("pace: 1.4", "pace: 0.4"), encoding="utf-8")
    with pytest.raises(UserError, match=r"configs/pace/shapes.yaml.*\n.*students.resnet18.kd.pace"):
        read_paces(prepared_project, "shapes")


def test_an_execution_keeps_the_pace_that_it_began_with(prepared_project, monkeypatch):
    measured(prepared_project, kd=1.5, aicsd=1.5)
    change(prepared_project, train={"budget": "seconds"})
    validate(prepared_project, show=False)
    measured(prepared_project, kd=3.0, aicsd=3.0)
    params = load_params(prepared_project)
    monkeypatch.setenv("DVC_STAGE", "baselines@kd-resnet18-0")
    assert budgeted(prepared_project, params, key("kd")).train.epochs == 2
    (prepared_project / "data/shapes/validated/students/kd/resnet18.json").write_text("{}")
    with pytest.raises(UserError, match="not as `validate` writes it"):
        budgeted(prepared_project, params, key("kd"))


def test_an_interrupted_run_ends_with_the_epochs_that_it_began_with(taught, monkeypatch):
    """Killed after its first epoch, and resumed under DVC though the method was measured again."""
    change(taught, train={"budget": "seconds", "epochs": 4})
    measured(taught, kd=1.4, aicsd=2.0)
    validate(taught, show=False)
    monkeypatch.setenv("DVC_STAGE", "distill@aicsd-resnet18-0")

    def save_and_die(state, path):
        save_state(state, path)
        raise Killed

    monkeypatch.setattr(training, "save_state", save_and_die)
    with pytest.raises(Killed):
        train_student(taught, method="aicsd", student="resnet18", seed=0)
    monkeypatch.setattr(training, "save_state", save_state)
    measured(taught, kd=1.4, aicsd=1.0)
    train_student(taught, method="aicsd", student="resnet18", seed=0)
    interrupted = outputs(taught / "runs/shapes/aicsd/resnet18-0")
    described = json.loads(interrupted["train.json"])
    assert (described["epochs"], described["params"]["training"]["pace"]) == (2, 2.0)
    assert json.loads((taught / "costs/shapes/aicsd/resnet18-0.json").read_text())["resumed"] == 1
    rows = interrupted["history.csv"].decode().splitlines()
    column = rows[0].split(",").index("weight/kd")
    assert [float(row.split(",")[column]) for row in rows[1:]] == [1.0, 0.5]

    monkeypatch.delenv("DVC_STAGE")
    change(taught, train={"budget": "epochs", "epochs": 2})
    train_student(taught, method="aicsd", student="resnet18", seed=0)
    whole = outputs(taught / "runs/shapes/aicsd/resnet18-0")
    assert {name for name in whole if whole[name] != interrupted[name]} == {"train.json"}
