"""Measuring a tiny project's steps."""

import pytest
from tests.project import change

from icsd.commands.pace import run as command
from icsd.commands.pace.run import pace
from icsd.commands.pace.steps import measure
from icsd.errors import UserError
from icsd.params import load_params
from icsd.stages.paces import Pace, read_paces

FILE = "configs/pace/shapes.yaml"


@pytest.fixture
def instant(monkeypatch):
    """Replaces the timing of steps; lists the (method, student, rounds) that were requested."""
    asked = []

    def measured(root, params, *, method, student, rounds):
        asked.append((method, student, rounds))
        return Pace(
            pace=1.5,
            milliseconds=15.0,
            milliseconds_alone=10.0,
            rounds=rounds,
            device="cpu",
            threads=1,
            precision="32-true",
            of={},
        )

    monkeypatch.setattr(command, "measure", measured)
    return asked


def test_a_step_is_that_of_the_training_and_nothing_is_written(taught):
    before = {path for path in taught.rglob("*") if path.is_file()}
    found = measure(taught, load_params(taught), method="aicsd", student="resnet18", rounds=3)
    assert {path for path in taught.rglob("*") if path.is_file()} == before
    assert found.milliseconds_alone > 0
    assert found.pace >= 1
    assert (found.rounds, found.device, found.threads) == (3, "cpu", 1)
    assert found.of["method"]["terms"] == ["icsd", "kd"]


def test_what_a_method_does_is_in_its_step(taught, monkeypatch):
    """A method that does its work a hundred times over is slower by about that."""
    from icsd.methods.kd import KD

    once = measure(taught, load_params(taught), method="kd", student="resnet18", rounds=5)
    forward = KD.forward

    def often(self, *taps):
        for _ in range(100):
            terms = forward(self, *taps)
        return terms

    monkeypatch.setattr(KD, "forward", often)
    slow = measure(taught, load_params(taught), method="kd", student="resnet18", rounds=5)
    assert slow.pace > 1.5 * once.pace


def test_the_parts_of_a_batch_make_one_step(taught):
    change(taught, runtime={"max_batch_per_device": 2}, train={"budget": "seconds"})
    assert measure(taught, load_params(taught), method="kd", student="resnet18", rounds=1).pace >= 1


def test_the_methods_of_the_grid_that_have_a_loss_are_measured(taught, instant, capsys):
    pace(taught, methods=[], student=None, rounds=7)
    assert instant == [("kd", "resnet18", 7), ("aicsd", "resnet18", 7)]
    assert capsys.readouterr().out.splitlines() == [
        *(
            f"{method} · resnet18: 1.50 times the student alone (15.0 ms a step against 10.0): 2 epochs take "
            "as long as its 3"
            for method in ("kd", "aicsd")
        ),
        FILE,
    ]
    assert set(read_paces(taught, "shapes")["resnet18"]) == {"aicsd", "kd"}


def test_what_was_measured_before_is_kept(taught, instant):
    pace(taught, methods=["kd"], student=None, rounds=1)
    pace(taught, methods=["icsd"], student="mobilenetv2", rounds=1)
    paces = read_paces(taught, "shapes")
    assert {student: set(own) for student, own in paces.items()} == {
        "resnet18": {"kd"},
        "mobilenetv2": {"icsd"},
    }


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"methods": ["aiscd"]}, "did you mean"),
        ({"methods": ["none"]}, "none has no loss"),
        ({"student": "resnet81"}, "did you mean"),
    ],
)
def test_what_cannot_be_measured_is_named(taught, instant, asked, message):
    with pytest.raises(UserError, match=message):
        pace(taught, **{"methods": [], "student": None, "rounds": 1, **asked})
    assert not instant


def test_a_teacher_that_params_yaml_no_longer_describes_is_noted(taught, instant, capsys):
    pace(taught, methods=["kd"], student=None, rounds=1)
    assert "note" not in capsys.readouterr().out
    change(taught, teacher={"epochs": 7})
    pace(taught, methods=["kd"], student=None, rounds=1)
    printed = capsys.readouterr().out
    assert (
        "note: params.yaml no longer describes runs/shapes/teacher (training.epochs: 2 recorded, 7 now)"
        in printed
    )
    assert "`dvc repro train_teacher` trains it again" in printed


def test_a_teacher_is_needed(prepared_project):
    with pytest.raises(UserError, match="there is no teacher yet; run `dvc repro train_teacher`"):
        pace(prepared_project, methods=["kd"], student=None, rounds=1)


@pytest.mark.parametrize(
    "content", ["", "students: {}\nstudents: {}\n", "students: {resnet18: {kd: {pace: 1}}}\n"]
)
def test_a_damaged_file_is_named_before_anything_is_measured(taught, instant, content):
    (taught / FILE).write_text(content)
    with pytest.raises(
        UserError, match=r"shapes\.yaml: not as .* writes it; .*delete it and measure all methods"
    ):
        pace(taught, methods=["kd"], student=None, rounds=1)
    assert instant == []


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_measured(taught, instant):
    (taught / "configs/pace").rename(taught / "configs/moved")
    (taught / "configs/pace").touch()
    with pytest.raises(UserError, match="cannot be written"):
        pace(taught, methods=["kd"], student=None, rounds=1)
    assert instant == []
