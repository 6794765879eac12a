"""The order and timing of calls, with a clock that the networks themselves advance."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from icsd.deployment.calls import call_of
from icsd.deployment.card import Card
from icsd.deployment.latency import Form, measure_latency
from icsd.deployment.memory import peak_megabytes
from icsd.deployment.runners import FileRunner, NetworkRunner
from icsd.errors import UserError

CPU = torch.device("cpu")


def card(**changes):
    return Card(
        dataset="photos",
        network="kd · tiny · seed 0",
        classes=("a", "b"),
        palette=((0, 0, 0), (1, 1, 1)),
        weights_sha256="0" * 64,
        **{"input_scale": 1.0, **changes},
    )


class Machine:
    """A clock, and forms whose calls take the given times.

    Attributes:
        called: The form, the size and torch's threads of every call.
    """

    def __init__(self):
        self.now = 0.0
        self.called = []

    def clock(self):
        return self.now

    def form(self, name, *durations, file=None):
        """A form whose calls take these milliseconds in turn, repeatedly."""
        left: list[float] = []

        def run(images):
            left.extend([] if left else durations)
            self.called.append((name, tuple(images.shape[2:]), torch.get_num_threads()))
            self.now += left.pop(0) / 1000
            return images

        return Form(name, lambda threads: FileRunner(run, card()), file)

    def measure(self, forms, sizes=((4, 6),), **options):
        given = {"threads": [1], "memory": False, "clock": self.clock, **options}
        return measure_latency(forms, sizes, **given)


@pytest.fixture
def machine():
    return Machine()


def test_all_forms_take_turns_in_an_order_that_rotates(machine):
    forms = [machine.form("one", 1), machine.form("two", 2), machine.form("three", 3)]
    found = machine.measure(forms, rounds=4, calls=2)
    after = [name for name, *_ in machine.called][6:]
    assert len(after) == 3 * 4 * (1 + 2)
    order = [after[place] for place in range(0, len(after), 3)]
    assert all(len(set(after[place : place + 3])) == 1 for place in range(0, len(after), 3))
    assert order == [
        *("one", "two", "three"),
        *("two", "three", "one"),
        *("three", "one", "two"),
        *("one", "two", "three"),
    ]
    assert [each.calls for each in found] == [8, 8, 8]


def test_percentiles_and_throughput_are_of_the_timed_calls(machine):
    # Two calls when it is opened, then turns of one that is not timed and four that are.
    form = machine.form("one", 1000, 1000, *(5 * [1000, 10, 20, 30, 100]))
    [found] = machine.measure([form], rounds=5, calls=4, batch=3, seconds=1e9)
    assert found.calls == 20
    values = sorted(5 * [10, 20, 30, 100])
    assert found.p50_ms == pytest.approx((values[9] + values[10]) / 2)
    assert found.p95_ms == pytest.approx(values[18] + 0.05 * (values[19] - values[18]))
    assert found.images_per_second == pytest.approx(3 * 20 / 0.8)
    assert (found.form, found.size, found.threads, found.batch) == ("one", (4, 6), 1, 3)
    assert (found.peak_megabytes, found.file_bytes) == (None, None)


def test_every_form_is_measured_at_every_size_and_number_of_threads(machine, tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    forms = [machine.form("one", 1, file=tmp_path / "file"), machine.form("two", 1)]
    before = torch.get_num_threads()
    found = machine.measure(forms, [(4, 6), (8, 8)], threads=[1, 2], rounds=1, calls=1)
    assert [(each.size, each.threads, each.form) for each in found] == [
        (size, threads, name) for size in ((4, 6), (8, 8)) for threads in (1, 2) for name in ("one", "two")
    ]
    assert [each.file_bytes for each in found[:2]] == [5, None]
    for each in found:  # opened, then one turn
        assert machine.called.count((each.form, each.size, each.threads)) == 2 + 2
    assert torch.get_num_threads() == before


def test_no_round_begins_when_the_time_is_over(machine):
    forms = [machine.form("slow", 900), machine.form("fast", 100)]
    found = machine.measure(forms, rounds=50, calls=1, seconds=3)  # a round takes two seconds
    assert [each.calls for each in found] == [3, 3]
    assert [each.calls for each in machine.measure(forms, rounds=50, calls=1, seconds=0)] == [1, 1]


def test_progress_is_told_as_often_as_it_says(machine):
    told: list[str] = []
    forms = [machine.form("one", 1), machine.form("two", 1)]
    machine.measure(forms, [(4, 6), (8, 8)], rounds=3, advance=told.append)
    assert told == [
        *("opened: one", "opened: two", "opened: one", "opened: two"),
        *("round 1 of 3", "round 2 of 3", "round 3 of 3"),
    ]


def test_a_file_gets_what_it_takes():
    seen: list[torch.Tensor] = []
    inside = FileRunner(seen.append, card(preprocessing="inside", input_scale=0.5))
    call_of(inside, (30, 41), 2)()
    call_of(FileRunner(seen.append, card()), (30, 41), 2)()
    assert [(tuple(images.shape), images.dtype) for images in seen] == [
        ((2, 60, 82, 3), torch.uint8),
        ((2, 3, 30, 41), torch.float32),
    ]


class Network(nn.Module):
    def forward(self, images):
        assert not torch.is_grad_enabled()
        if images.shape[-1] < 8:
            raise RuntimeError("too narrow\nfor this")
        return {"logits": images[:, :2]}


def network(threads):
    return NetworkRunner(Network(), card(), CPU)


def hungry(threads):
    """A form that allocates 200 MB when it is opened."""
    runner = FileRunner(lambda images: kept, card())
    kept = torch.ones(50_000_000)
    return runner


def killed(threads):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_a_size_that_a_network_cannot_take_is_named(machine):
    with pytest.raises(
        UserError, match=r"kd · tiny · seed 0 \(fp32\) cannot take images of 4 × 6: too narrow$"
    ):
        machine.measure([Form("eager", network)])
    assert machine.measure([Form("eager", network)], [(8, 8)], rounds=1)[0].calls == 5


def test_memory_is_that_of_a_process_of_its_own():
    [(size, small)] = peak_megabytes("eager", network, [(8, 8)], threads=1, batch=1).items()
    assert size == (8, 8)
    if not Path("/proc/self/status").is_file():  # only Linux tells
        assert small is None
        return
    assert small < 150
    [(_, large)] = peak_megabytes("hungry", hungry, [(8, 8)], threads=1, batch=1).items()
    assert 190 < large - small < 300


@pytest.mark.parametrize(
    ("opening", "message"),
    [
        (partial(network), "eager: kd .* cannot take images of 4 × 6: too narrow"),
        (killed, "eager: the process that measures its memory ended with code -9"),
    ],
)
def test_a_process_that_fails_is_told_of(opening, message):
    with pytest.raises(UserError, match=message):
        peak_megabytes("eager", opening, [(4, 6)], threads=1, batch=1)
