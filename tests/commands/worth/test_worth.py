"""The command ``worth``: with an answer, without one, killed, resumed and refused."""

import json
import shlex
import shutil

import pytest
from click.testing import CliRunner
from filelock import FileLock, Timeout
from pipeline.cli import cli
from tests.commands.worth.conftest import Killed
from tests.project import change, write_yaml

from icsd.commands.worth import run
from icsd.commands.worth.store import Kept, Trained
from icsd.errors import UserError
from icsd.params.reading import read_tree
from icsd.stages.training import run as train
from icsd.stages.validate import check_tree
from icsd.training.checkpoint import save_state
from icsd.yaml_files import read_yaml

KEPT = ".state/worth/shapes/trainings.json"


def paragraph(printed):
    """The paragraph as one line, and the command after it."""
    text, _, command = printed.rpartition("\n\n")[2].partition("\nNext: ")
    return " ".join(text.split()), command.splitlines()[0]


def seeds_of(calls):
    return list(dict.fromkeys(seed for _, seed, _ in calls))


def test_a_gain_is_found_and_the_best_method_named(made_up, ask):
    printed = ask()
    text, command = paragraph(printed)
    assert text.startswith("Worth it: in the time of 3 epochs of ResNet-18 alone, KD (2 epochs) gains +")
    assert "on the validation split of shapes, with 5 seeds" in text
    assert "A gain of more than 0.5 points is 9" in text
    assert "The others: DIST +" in text
    assert text.count("worth it") == 1
    assert " CPU hours for 15 trainings, and its teacher 0.00 before." in text
    assert command.startswith(
        "dvc exp run -S 'grid.students=[resnet18]' -S 'grid.baselines=[none,kd]' -S 'grid.distilled=[]' "
        "-S 'grid.seeds=[0,1,2"
    )
    assert "after 5 seeds: kd +" in printed


def test_all_methods_get_every_seed_until_all_have_an_answer(made_up, ask):
    ask()
    seeds = seeds_of(made_up.calls)
    assert seeds == [1001, 1002, 1003, 1004, 1005]
    assert [call[:2] for call in made_up.calls] == [
        (method, seed) for seed in seeds for method in ("none", "kd", "dist")
    ]


def test_methods_get_the_epochs_that_the_student_alone_leaves_time_for(made_up, ask, taught):
    change(taught, train={"epochs": 30})
    made_up.seconds = {"none": 100.0, "kd": 150.0, "dist": 90.0}
    printed = ask()
    assert made_up.rehearsals == ["none", "kd", "dist"] * 2
    epochs = {method: own for method, _, own in made_up.calls}
    assert epochs["none"] == 30
    assert epochs["kd"] == 20
    assert epochs["dist"] == 30  # never more than the student alone
    assert "1.5" in next(line for line in printed.splitlines() if line.startswith("kd: "))


def test_no_gain_is_found_not_to_be_there(made_up, ask):
    made_up.gains = {"kd": -1.0, "dist": 0.0}
    text, command = paragraph(ask(margin=1.0))
    assert text.startswith("Not worth it: ")
    assert "No method gains more than 1 points; that is 9" in text
    assert command.startswith("dvc exp run -S 'grid.students=[resnet18]' -S 'grid.baselines=[none]'")


def test_a_gain_near_the_margin_stays_undecided_after_the_last_seed(made_up, ask):
    made_up.gains, made_up.deviation = {"kd": 0.5, "dist": 3.0}, 1.0
    made_up.gains["dist"] = 0.5
    text, command = paragraph(ask())
    assert text.startswith("Undecided whether any method gains more than 0.5 points: ")
    assert "The 20 seeds are trained." in text
    assert len(made_up.calls) == 60
    assert command.startswith("dvc exp run")


def test_fewer_seeds_are_continued_with_more(made_up, ask):
    made_up.gains, made_up.deviation = {"kd": 2.0}, 1.0
    text, command = paragraph(ask("kd", max_seeds=3))
    assert text.startswith("Undecided")
    words = shlex.split(command)
    assert words[:5] == ["python", "-m", "pipeline", "worth", "kd"]
    most = int(words[words.index("--max-seeds") + 1])
    assert 3 < most <= 20
    before = len(made_up.calls)
    again = ask("kd", max_seeds=most)
    assert made_up.calls[before:] == [
        (method, 1004 + number, epochs)
        for number in range(len(seeds_of(made_up.calls)) - 3)
        for method, epochs in (("none", 3), ("kd", 2))
    ]
    assert len(made_up.rehearsals) == 4
    assert "trained before" in again


def test_hours_that_are_spent_end_it(made_up, ask):
    made_up.gains, made_up.deviation = {"kd": 1.0, "dist": 0.5}, 1.0
    made_up.seconds = dict.fromkeys(("none", "kd", "dist"), 120.0)
    text, command = paragraph(ask(hours=1.8))
    assert text.startswith("Undecided")
    assert "The hours are spent." in text
    assert len(seeds_of(made_up.calls)) == 4  # of 18 minutes each, after a rehearsal of 24
    hours = float(shlex.split(command)[shlex.split(command).index("--hours") + 1])
    assert hours > 1.8


def test_one_method_that_is_worth_it_is_enough_when_the_hours_are_spent(made_up, ask):
    made_up.gains = {"kd": 4.0, "dist": 0.5}
    made_up.seconds = dict.fromkeys(("none", "kd", "dist"), 120.0)
    text, command = paragraph(ask(hours=2.4))
    assert text.startswith("Worth it: in the time of 3 epochs of ResNet-18 alone, KD")
    assert "undecided" in text
    assert "grid.baselines=[none,kd]" in command


def test_hours_for_fewer_seeds_than_can_decide_train_nothing(made_up, ask):
    made_up.seconds = dict.fromkeys(("none", "kd", "dist"), 120.0)
    text, command = paragraph(ask(hours=1))
    assert text.startswith("Undecided: 1 hours allow 1 seed of 3 trainings (18.")
    assert "fewer than 3 decide nothing" in text
    assert made_up.calls == []
    hours = float(shlex.split(command)[shlex.split(command).index("--hours") + 1])
    ask(hours=hours)
    assert len(seeds_of(made_up.calls)) >= 3


def test_killed_it_goes_on_with_the_training_that_was_interrupted(made_up, ask, taught):
    whole = paragraph(ask())
    trained = list(made_up.calls)
    shutil.rmtree(taught / ".state/worth")
    made_up.calls.clear()
    made_up.dies_after = 5
    with pytest.raises(Killed):
        ask()
    assert made_up.calls == trained[:5]
    made_up.dies_after = None
    assert paragraph(ask()) == whole
    assert made_up.calls == trained


def test_a_second_question_trains_nothing_and_answers_the_same(made_up, ask):
    first = paragraph(ask())
    before = len(made_up.calls)
    assert paragraph(ask()) == first
    assert len(made_up.calls) == before


def test_another_margin_needs_no_other_trainings(made_up, ask):
    ask()
    before = len(made_up.calls)
    assert paragraph(ask(margin=0.0))[0].startswith("Worth it")
    assert len(made_up.calls) == before


@pytest.mark.parametrize("changes", [{"train": {"lr": 0.02}}, {"methods": {"kd": {"temperature": 2.0}}}])
def test_another_setup_begins_anew(made_up, ask, taught, changes):
    ask("kd")
    before = len(made_up.calls)
    change(taught, **changes)
    ask("kd")
    assert ("kd", 1001) in [call[:2] for call in made_up.calls[before:]]


def test_a_method_that_diverges_is_out_and_named(made_up, ask):
    made_up.diverging = {("dist", 1002)}
    text, _ = paragraph(ask())
    assert "DIST diverged with seed 1002" in text
    assert ("dist", 1003) not in [call[:2] for call in made_up.calls]


def test_all_methods_diverging_is_an_answer(made_up, ask):
    made_up.diverging = {("dist", 1001), ("kd", 1001)}
    text, command = paragraph(ask())
    assert text.startswith("Not worth it: every method diverged on shapes.")
    assert "grid.baselines=[none]" in command


def test_a_student_alone_that_diverges_is_an_error(made_up, ask):
    made_up.diverging = {("none", 1001)}
    with pytest.raises(UserError, match=r"the student alone diverged: lower train.lr"):
        ask()


def test_everything_is_written_to_a_file_in_the_end_or_nothing(made_up, ask, tmp_path):
    out = tmp_path / "new/worth.json"
    made_up.dies_after = 4
    with pytest.raises(Killed):
        ask(out=out)
    assert not out.parent.exists()
    made_up.dies_after = None
    printed = ask(out=out)
    written = json.loads(out.read_text())
    assert (written["answer"], written["method"], written["ending"]) == ("worth it", "kd", "decided")
    assert " ".join(written["paragraph"].split()) == paragraph(printed)[0]
    assert written["command"] == paragraph(printed)[1]
    assert len(written["trainings"]) == 15
    assert len(written["gains"]["kd"]["gains"]) == written["gains"]["kd"]["n"] == 5
    assert [path.name for path in out.parent.iterdir()] == ["worth.json"]


def test_a_file_that_cannot_be_written_is_found_before_the_work(made_up, ask, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        ask(out=tmp_path / "file/worth.json")
    assert made_up.rehearsals == []


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-40], lambda text: text.replace('"seconds": 3.0', '"seconds": 4.0')]
)
def test_a_damaged_file_of_trainings_is_named_before_anything_is_trained(made_up, ask, taught, damage):
    ask()
    (taught / KEPT).write_text(damage((taught / KEPT).read_text()))
    before = len(made_up.calls)
    with pytest.raises(UserError, match=r"trainings.json: .*delete it"):
        ask()
    assert len(made_up.calls) == before


@pytest.mark.parametrize(
    ("methods", "options", "words"),
    [
        (("kdd",), {}, "did you mean 'kd'"),
        (("none",), {}, "none has no weights"),
        (("kd",), {"student": "resnet19"}, "did you mean 'resnet18'"),
        (("kd",), {"max_seeds": 2}, "between 3 and 20, got 2"),
        (("kd",), {"max_seeds": 21}, "between 3 and 20, got 21"),
    ],
)
def test_what_cannot_be_answered_is_refused(made_up, ask, methods, options, words):
    with pytest.raises(UserError, match=words):
        ask(*methods, **options)
    assert made_up.rehearsals == []


def test_without_validation_images_there_is_no_answer(made_up, ask, taught):
    preset = taught / "configs/datasets/shapes.yaml"
    written = read_yaml(preset)
    written["data"]["splits"]["validation"] = None
    write_yaml(preset, written)
    with pytest.raises(UserError, match=r"data.holdout"):
        ask()


def test_reported_seeds_are_never_trained(made_up, ask, taught):
    change(taught, grid={"seeds": [0, 1001, 1003]})
    ask()
    assert seeds_of(made_up.calls)[:3] == [1002, 1004, 1005]


def test_the_methods_are_those_that_are_favoured_where_none_is_named(made_up, ask, taught, monkeypatch):
    made_up.seconds = dict.fromkeys(("none", *run.METHODS), 1.0)
    made_up.gains = {"aicsd": 3.0, "kd": 2.0, "cwd": 2.0, "dist": 2.0}
    run.worth(taught, methods=(), student=None, margin=None, hours=None, max_seeds=20, out=None)
    assert list(dict.fromkeys(call[0] for call in made_up.calls)) == ["none", *run.METHODS]


def test_a_method_under_alw_is_tried_in_the_grid_as_such(made_up, ask):
    made_up.gains["aicsd"], made_up.seconds["aicsd"] = 3.0, 1.0
    _, command = paragraph(ask("aicsd"))
    assert "-S 'grid.baselines=[none]' -S 'grid.distilled=[aicsd]'" in command


@pytest.mark.parametrize("gain", [3.0, 0.0])
def test_the_grid_that_is_to_be_run_next_is_accepted(made_up, ask, taught, gain):
    from dvc.utils.hydra import apply_overrides

    made_up.gains = {"kd": gain}
    _, command = paragraph(ask("kd"))
    words = shlex.split(command)
    apply_overrides(taught / "params.yaml", [word for word in words if word.startswith("grid.")])
    tree, source = read_tree(taught)
    assert check_tree(taught, tree, source).grid.methods == (["none", "kd"] if gain else ["none"])


def test_a_real_training_that_was_interrupted_is_resumed_and_its_seconds_kept(taught, ask, monkeypatch):
    """Real trainings of a tiny student: what is killed ends as if it had not been."""
    monkeypatch.setattr(run, "bring_teacher_up_to_date", lambda root: None)
    for path in (taught / "data/shapes/processed").glob("report-*"):
        path.unlink()  # nobody reads the reported split
    change(taught, train={"epochs": 2})
    ask("kd", max_seeds=3)
    before = json.loads((taught / KEPT).read_text())
    [lost] = [name for name in before["trainings"] if name.startswith("shapes-none-resnet18-1002-")]
    kept = {name: each for name, each in before["trainings"].items() if name != lost}
    store = Kept.model_validate(
        {**before, "trainings": {name: Trained(**each) for name, each in kept.items()}}
    )
    (taught / KEPT).write_text(json.dumps(store.content()))

    def save_and_die(state, path):
        save_state(state, path)
        raise Killed

    monkeypatch.setattr(train, "save_state", save_and_die)
    with pytest.raises(Killed):
        ask("kd", max_seeds=3)
    monkeypatch.setattr(train, "save_state", save_state)
    assert "resuming after epoch 1" in ask("kd", max_seeds=3)
    after = json.loads((taught / KEPT).read_text())
    scores = [{name: each["miou"] for name, each in one["trainings"].items()} for one in (before, after)]
    assert scores[0] == scores[1]
    assert all(each["seconds"] > 0 for each in after["trainings"].values())
    assert not list((taught / ".state/runs").glob("shapes-*-10??-*"))
    assert [path.name for path in (taught / "runs/shapes").iterdir()] == ["teacher"]


def test_methods_in_another_order_are_the_same_question(made_up, ask):
    first = ask("kd", "dist")
    before = len(made_up.calls)
    assert paragraph(ask("dist", "kd")) == paragraph(first)
    assert len(made_up.calls) == before
    assert len(made_up.rehearsals) == 6


def test_the_grid_after_the_last_seed_has_no_more_seeds_than_were_trained(made_up, ask):
    """A gain of about nothing would need a thousand, or more than there are."""
    made_up.gains, made_up.deviation = {"kd": 0.5}, 1.0
    _, command = paragraph(ask("kd"))
    assert f"-S 'grid.seeds=[{','.join(map(str, range(20)))}]'" in command


def test_what_cannot_be_used_is_named_before_the_teacher_is_trained(made_up, ask, taught, monkeypatch):
    ask("kd")
    monkeypatch.setattr(run, "bring_teacher_up_to_date", lambda root: pytest.fail("the teacher first"))
    kept = (taught / KEPT).read_text()
    (taught / KEPT).write_text("")
    with pytest.raises(UserError, match=r"trainings.json: .*delete it"):
        ask("kd")
    (taught / KEPT).write_text(kept)
    change(taught, weights="tuned")
    with pytest.raises(UserError, match="not tuned yet: kd"):
        ask("kd")


def test_a_second_question_waits_before_it_touches_the_teacher(made_up, ask, taught, monkeypatch):
    held = []
    lock = FileLock(taught / ".state/worth/shapes/lock")

    def look(root):
        with pytest.raises(Timeout):
            FileLock(lock.lock_file, is_singleton=False).acquire(timeout=0)
        held.append(True)

    monkeypatch.setattr(run, "bring_teacher_up_to_date", look)
    ask("kd")
    assert held == [True]


@pytest.mark.parametrize("file", ["", ".."])
def test_an_out_file_without_a_name_is_refused(file):
    done = CliRunner().invoke(cli, ["worth", "kd", "--out", file])
    assert done.exit_code == 2
    assert "Invalid value for '--out'" in done.output
