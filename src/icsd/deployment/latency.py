"""Measures the speed of a network's forms, which take turns so that the machine's load affects all alike."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from icsd.deployment.calls import Opened, Size, call_of
from icsd.deployment.memory import peak_megabytes


@dataclass(frozen=True)
class Form:
    """A network in one form.

    Attributes:
        name: Its name in the table.
        open: Opens the network with a number of threads: ``partial(open_file, path)`` for an exported file.
            It must be picklable (a function of a module, or ``functools.partial`` of one), since a separate
            process opens the network, too, to measure its memory.
        file: Its file; None if there is none.
    """

    name: str
    open: Callable[[int], Opened]
    file: Path | None = None


@dataclass(frozen=True)
class Latency:
    """The latency of a form on images of one size.

    Attributes:
        form: The form's name.
        size: Height and width of the images as the network sees them.
        threads: Number of CPU threads.
        batch: Images per call.
        calls: Number of timed calls.
        p50_ms: Median duration of a call, in milliseconds.
        p95_ms: 95th percentile of the durations, linearly interpolated, in milliseconds.
        images_per_second: Images of all calls over the sum of their durations.
        peak_megabytes: Peak memory of a process that does only this; see ``icsd.deployment.memory``. None if
            it was not measured, or the system does not report it.
        file_bytes: Size of its file; None if there is none.
    """

    form: str
    size: Size
    threads: int
    batch: int
    calls: int
    p50_ms: float
    p95_ms: float
    images_per_second: float
    peak_megabytes: float | None
    file_bytes: int | None


@dataclass(frozen=True)
class _Variant:
    """A form, a size and a number of threads, which take turns with the others."""

    form: Form
    size: Size
    threads: int
    call: Callable[[], object]


def measure_latency(
    forms: Sequence[Form],
    sizes: Sequence[Size],
    *,
    threads: Sequence[int],
    batch: int = 1,
    rounds: int = 10,
    calls: int = 5,
    seconds: float = 10.0,
    memory: bool = True,
    advance: Callable[[str], None] = lambda what: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Latency]:
    """Measure every form at every size with every number of threads.

    Only the network is timed, from its input tensor to its logits. A file that scales and normalises images
    itself gets them as they are read, and its time includes that. In every round each variant has one turn,
    in a rotating order: an untimed call to warm the caches, then ``calls`` timed ones. Before the first
    round, every variant is called twice.

    Args:
        forms: The forms, with different names.
        sizes: Heights and widths of the images as the network sees them.
        threads: Numbers of CPU threads.
        batch: Images per call.
        rounds: Largest number of rounds.
        calls: Timed calls per turn.
        seconds: Time per variant after which no further round begins. There is always one round.
        memory: Whether to measure peak memory, in one process per form before the first round.
        advance: Called with what was done: ``len(forms)`` times for the memory, ``len(forms) * len(sizes) *
            len(threads)`` times for opening, then once per round.
        clock: Returns seconds.

    Returns:
        One entry per size, number of threads and form, in this order.
    """
    peaks: dict[tuple[str, Size], float | None] = {}
    for form in forms:
        if memory:
            found = peak_megabytes(form.name, form.open, sizes, threads=max(threads), batch=batch)
            peaks |= {(form.name, size): peak for size, peak in found.items()}
            advance(f"memory: {form.name}")
    with _threads_restored():
        variants = _opened(forms, sizes, threads, batch, advance)
        durations = _by_turns(variants, rounds, calls, seconds, advance, clock)
    return [
        _summary(variant, batch, values, peaks.get((variant.form.name, variant.size)))
        for variant, values in zip(variants, durations, strict=True)
    ]


def _opened(
    forms: Sequence[Form],
    sizes: Sequence[Size],
    threads: Sequence[int],
    batch: int,
    advance: Callable[[str], None],
) -> list[_Variant]:
    """Open all variants and call each twice."""
    runners = {}
    variants = []
    for size, number, form in product(sizes, threads, forms):
        torch.set_num_threads(number)
        if (form.name, number) not in runners:
            runners[form.name, number] = form.open(number)
        variant = _Variant(form, size, number, call_of(runners[form.name, number], size, batch))
        variant.call()
        variant.call()
        variants.append(variant)
        advance(f"opened: {form.name}")
    return variants


def _by_turns(
    variants: Sequence[_Variant],
    rounds: int,
    calls: int,
    seconds: float,
    advance: Callable[[str], None],
    clock: Callable[[], float],
) -> list[list[float]]:
    """Seconds of each variant's timed calls."""
    durations: list[list[float]] = [[] for _ in variants]
    places = list(range(len(variants)))
    until = clock() + seconds * len(variants)
    for turn in range(rounds):
        begin = turn % len(variants)
        for place in places[begin:] + places[:begin]:
            torch.set_num_threads(variants[place].threads)
            call = variants[place].call
            call()
            for _ in range(calls):
                start = clock()
                call()
                durations[place].append(clock() - start)
        advance(f"round {turn + 1} of {rounds}")
        if clock() >= until:
            break
    return durations


def _summary(variant: _Variant, batch: int, durations: Sequence[float], peak: float | None) -> Latency:
    p50, p95 = (1000 * float(value) for value in np.percentile(durations, [50, 95]))
    file = variant.form.file
    return Latency(
        form=variant.form.name,
        size=variant.size,
        threads=variant.threads,
        batch=batch,
        calls=len(durations),
        p50_ms=p50,
        p95_ms=p95,
        images_per_second=batch * len(durations) / max(sum(durations), 1e-12),
        peak_megabytes=peak,
        file_bytes=None if file is None else file.stat().st_size,
    )


@contextmanager
def _threads_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
