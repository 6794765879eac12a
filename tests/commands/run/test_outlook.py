import json
import math

import pytest
from rich.console import Console

from icsd.commands.run.durations import Durations, epoch_in
from icsd.commands.run.lines import Lines
from icsd.commands.run.outlook import Outlook, in_words, urgency
from icsd.commands.run.schedule import Schedule
from icsd.commands.run.screen import Screen


class Named(str):
    __slots__ = ()

    @property
    def addressing(self):
        return str(self)


def outlook_of(tmp_path, needs, seconds, slots=2):
    (tmp_path / "seconds.json").write_text(json.dumps(seconds))
    needs = {Named(name): [Named(other) for other in others] for name, others in needs.items()}
    schedule = Schedule(list(needs), needs)
    return Outlook(schedule, needs, Durations(tmp_path / "seconds.json", {}), slots)


def test_a_stage_takes_as_long_as_its_nearest_kin(tmp_path):
    file = tmp_path / "run/seconds.json"
    costs = tmp_path / "cost.json"
    costs.write_text('{"seconds_training": 40.0}')
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    durations = Durations(file, {"baselines@kd-resnet18-0": costs, "report": broken})
    assert durations.expected("baselines@kd-resnet18-0") == 40
    durations.remember("baselines@at-resnet18-0", 20.04)
    durations.remember("baselines@at-resnet34-0", 60.0)
    durations = Durations(file, {"baselines@at-resnet18-0": costs})
    assert durations.expected("baselines@at-resnet18-0") == 20.0  # what was remembered counts, not its cost
    assert durations.expected("baselines@at-resnet34-1") == 60
    assert durations.expected("baselines@at-resnet50-1") == 40
    assert durations.expected("baselines@sp-resnet18-0") == 40
    assert durations.expected("report") == 40


@pytest.mark.parametrize("content", ["", "[]", '{"a": "x", "b": -1, "c": true}', '{"a": NaN}'])
def test_damaged_memories_are_none(tmp_path, content):
    (tmp_path / "seconds.json").write_text(content)
    expected = Durations(tmp_path / "seconds.json", {}).expected("a")
    assert expected is None or math.isfinite(expected)


def test_the_head_of_the_longest_chain_is_most_urgent():
    needs = {"a": [], "b": [], "c": ["b"], "d": ["c", "elsewhere"]}
    found = urgency("abcd", needs, {"a": 5.0, "b": 1.0, "c": 2.0, "d": 3.0}.__getitem__)
    assert found == {"a": 5.0, "b": 6.0, "c": 5.0, "d": 3.0}


def test_the_time_left_is_that_of_the_slots_and_of_the_order(tmp_path):
    needs = {"a": [], "b": ["a"], "c": ["a"], "d": ["a"], "e": ["b", "c", "d"]}
    seconds = {"a": 10, "b": 4, "c": 4, "d": 4, "e": 1}
    assert outlook_of(tmp_path, needs, seconds, slots=1).seconds_left() == 23
    assert outlook_of(tmp_path, needs, seconds, slots=2).seconds_left() == 19
    assert outlook_of(tmp_path, needs, seconds, slots=3).seconds_left() == 15
    outlook = outlook_of(tmp_path, needs, seconds, slots=3)
    outlook.schedule.finish("a")
    assert outlook.seconds_left() == 5
    assert outlook_of(tmp_path, needs, {}).seconds_left() is None


def test_a_training_says_itself_how_long_it_will_take(tmp_path):
    log = tmp_path / "log.txt"
    assert epoch_in(log) is None
    log.write_text("x" * 9000 + "\nepoch 3/30  total 0.93  val mIoU 27.13  1.2 s/epoch, 32 s left\nwarning\n")
    assert epoch_in(log) == (3, 30, 32.0)
    outlook = outlook_of(tmp_path, {"a": [], "b": ["a"]}, {"b": 8}, slots=2)
    outlook.schedule.start("a")
    outlook.started("a", log)
    assert outlook.seconds_left() == 40


def test_both_displays_say_what_happens(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("one\nepoch 3/30  1.2 s/epoch, 32 s left\nunfinished")
    needs = {"a": [], "b": ["a"], "c": []}
    written: list[str] = []
    lines = Lines(outlook_of(tmp_path, needs, {"a": 50, "b": 8, "c": 1}), written.append)
    console = Console(width=100, force_terminal=True, record=True)
    screen = Screen(outlook_of(tmp_path, needs, {"a": 50, "b": 8, "c": 1}), console)
    with screen:
        for each, schedule in ((lines, lines._outlook.schedule), (screen, screen._outlook.schedule)):
            schedule.finish("c")
            each.settled("c", "unchanged")
            schedule.start("a")
            each.started("a", log)
            each.tick()
        assert written == [
            "[c] nothing changed (1 of 3)",
            "[a] started",
            "[a] one",
            "[a] epoch 3/30  1.2 s/epoch, 32 s left",
        ]
        drawn = console.export_text()
        assert "epoch 3/30, 32 s left" in drawn
        assert "1 of 3 done · 1 wait · about 40 s left" in drawn
        for each, schedule in ((lines, lines._outlook.schedule), (screen, screen._outlook.schedule)):
            schedule.finish("a")
            each.settled("a", "ran")
            schedule.fail("b")
            each.settled("b", "failed")
            each.said("a word")
    assert written[4:] == [
        "[a] unfinished",
        "[a] done in 0 s (2 of 3), about 8 s left",
        "[b] FAILED (3 of 3)",
        "a word",
    ]
    drawn = console.export_text()
    assert "done in 0 s  a" in drawn
    assert "FAILED  b" in drawn
    assert "a word" in drawn


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3600, "60 min"), (7500, "2 h 05 min")]
)
def test_times_are_short(seconds, words):
    assert in_words(seconds) == words
