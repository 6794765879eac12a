import pytest

from icsd.commands.run.schedule import Schedule, State

NEEDS = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}


def test_a_stage_may_start_when_all_that_it_needs_is_done():
    schedule = Schedule("abcde", NEEDS)
    assert schedule.ready() == ["a", "e"]
    schedule.start("a")
    assert schedule.ready() == ["e"]
    schedule.finish("a")
    assert schedule.ready() == ["b", "c", "e"]
    schedule.finish("b")
    assert "d" not in schedule.ready()
    schedule.finish("c")
    assert schedule.ready() == ["d", "e"]


def test_the_most_urgent_starts_first_and_equals_in_order():
    schedule = Schedule("abcde", NEEDS, {"e": 5.0})
    assert schedule.ready() == ["e", "a"]


def test_what_is_not_part_of_an_execution_is_not_waited_for():
    assert Schedule("d", NEEDS).ready() == ["d"]


def test_a_failure_takes_with_it_what_depends_on_it_and_nothing_else():
    schedule = Schedule("abcde", NEEDS)
    schedule.finish("a")
    schedule.start("c")
    assert schedule.fail("b") == ["d"]
    assert schedule.states == {
        "a": State.DONE,
        "b": State.FAILED,
        "c": State.RUNNING,
        "d": State.SKIPPED,
        "e": State.WAITING,
    }
    assert schedule.ready() == ["e"]
    assert schedule.count(State.DONE, State.FAILED) == 2
    assert schedule.nodes(State.RUNNING) == ["c"]


@pytest.mark.parametrize("failing", ["a", "b"])
def test_a_failure_reaches_any_distance(failing):
    schedule = Schedule("abcd", {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]})
    assert schedule.fail(failing)[-2:] == ["c", "d"]
