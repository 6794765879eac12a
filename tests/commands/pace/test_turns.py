"""The arithmetic of alternating steps, with a clock that only the steps advance."""

import time

import pytest

from icsd.commands.pace.turns import WARM_UP, by_turns, clock_for


class Machine:
    """Steps with durations set by the test, and a clock that shows their sum."""

    def __init__(self):
        self.now = 0.0
        self.calls = []
        self.slower = lambda turn: 1.0

    def step(self, name, costs):
        waiting = iter(costs)

        def call():
            self.calls.append(name)
            self.now += next(waiting) * self.slower(len(self.calls) // 2)

        return call


def timed(machine, method, alone, rounds):
    return by_turns(
        machine.step("method", method), machine.step("alone", alone), rounds=rounds, clock=lambda: machine.now
    )


def test_the_ratio_is_that_of_the_costs():
    turns = timed(Machine(), [1.4] * 9, [1.0] * 9, rounds=7)
    assert turns == pytest.approx((1.4, 1.4, 1.0))


def test_the_first_steps_do_not_count():
    turns = timed(Machine(), [50.0] * WARM_UP + [1.5] * 3, [9.0] * WARM_UP + [1.0] * 3, rounds=3)
    assert turns == pytest.approx((1.5, 1.5, 1.0))


def test_both_run_once_in_every_round_and_each_is_first_in_every_other():
    machine = Machine()
    timed(machine, [1.0] * 9, [1.0] * 9, rounds=4)
    assert machine.calls[2 * WARM_UP :] == ["alone", "method", "method", "alone"] * 2


def test_a_machine_that_slows_down_halfway_changes_no_ratio():
    machine = Machine()
    machine.slower = lambda turn: 1.0 if turn < 7 else 3.0
    assert timed(machine, [1.4] * 13, [1.0] * 13, rounds=11).ratio == pytest.approx(1.4)


def test_one_step_that_waited_for_the_disk_changes_no_ratio():
    own = [1.4] * 11
    own[5] = 40.0
    assert timed(Machine(), own, [1.0] * 11, rounds=9).ratio == pytest.approx(1.4)


@pytest.mark.parametrize(
    ("where", "clock"),
    [
        ({"on_cpu": True, "threads": 1, "workers": 0}, time.process_time),
        ({"on_cpu": True, "threads": 2, "workers": 0}, time.perf_counter),
        ({"on_cpu": True, "threads": 1, "workers": 2}, time.perf_counter),
        ({"on_cpu": False, "threads": 1, "workers": 0}, time.perf_counter),
    ],
)
def test_processor_time_is_asked_for_where_it_is_all_of_it(where, clock):
    assert clock_for(**where) is clock
