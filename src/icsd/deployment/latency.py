"""How fast a network is in each of its forms: all of them by turns, so that all meet the same machine."""

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
        name: For the table.
        open: From a number of threads to the network: ``partial(open_file, path)`` for an exported file. It
            must be picklable (a function of a module, or ``functools.partial`` of one), as a process of its
            own opens the network, too, to measure its memory.
        file: Its file; None where there is none.
    """

    name: str
    open: Callable[[int], Opened]
    file: Path | None = None


@dataclass(frozen=True)
class Latency:
    """A form on images of one size.

    Attributes:
        form: Its name.
        size: Height and width of the images as the network sees them.
        threads: Of the CPU.
        batch: Images of a call.
        calls: How many were timed.
        p50_ms: The median of their durations in milliseconds.
        p95_ms: Their 95th percentile, between the two nearest.
        images_per_second: All their images, over the sum of their durations.
        peak_megabytes: Of a process that does only this; see ``icsd.deployment.memory``. None where nobody
            asked, or the system does not tell.
        file_bytes: Of its file; None where there is none.
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
    """What takes its turn."""

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

    What is timed is the network: from a tensor of the network's input to its logits. A file that scales and
    normalises images itself gets them as they are read, and its time includes that. Every round gives each
    variant one turn, in an order that rotates: a call that is not timed, for the caches, and ``calls`` that
    are. Before the first round, every variant is called twice.

    Args:
        forms: With different names.
        sizes: Heights and widths of the images as the network sees them.
        threads: Of the CPU.
        batch: Images of a call.
        rounds: At most.
        calls: Timed, per turn.
        seconds: Per variant: after so many, no further round begins. There is always one.
        memory: Whether to measure it: a process for each form, before the first round.
        advance: Told what was done, ``len(forms)`` times for the memory and
            ``len(forms) * len(sizes) * len(threads)`` times for being opened, then once a round.
        clock: In seconds.

    Returns:
        In the order of sizes, threads and forms.

    Raises:
        UserError: A form cannot be opened, or cannot take images of a size; names it.
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
    """All variants, each called twice."""
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
