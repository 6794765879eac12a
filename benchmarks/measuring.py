"""Time and peak memory of one call, on the CPU or CUDA; absolute values belong to the machine."""

import argparse
import ctypes
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch


def seconds(
    call: Callable[[], object], device: torch.device, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of one call by ``clock``, until the device is done."""
    _wait_for(device)
    start = clock()
    call()
    _wait_for(device)
    return clock() - start


def asked_for_quick() -> bool:
    """Reads the command line of a benchmark that has no option but ``--quick``: tiny sizes, in seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    return bool(parser.parse_args().quick)


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    device: torch.device | None = None,
    warm_up: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of every variant, measured by turns, so that all meet the same machine.

    Every round runs each variant once, in an order that rotates from round to round: what one leaves behind
    in caches and allocators is not always the same neighbour's. With one thread, ``time.process_time`` as
    the clock is what other work on the machine disturbs least.
    """
    device = torch.device("cpu") if device is None else device
    if warm_up:
        for call in variants.values():
            call()
    names = list(variants)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            times[name].append(seconds(variants[name], device, clock=clock))
    return {name: statistics.median(values) for name, values in times.items()}


def section(title: str, text: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A part of RESULTS.md: a heading, what is compared, and one table whose first column is text."""
    lines = [f"## {title}", "", text, "", _row(header), _row(["---", *["---:"] * (len(header) - 1)])]
    return "\n".join([*lines, *(_row(row) for row in rows)]) + "\n"


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def peak_megabytes(call: Callable[[], object], device: torch.device) -> float:
    """Megabytes that a call needs at most, above what is in use before it.

    Of torch's allocator on CUDA, of the process (Linux, glibc) on the CPU. Call it once before, to warm up.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    ctypes.CDLL(None).malloc_trim(0)  # freed memory would be used again without showing
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the kernel's peak
    before = _process_kilobytes("VmRSS")
    call()
    return (_process_kilobytes("VmHWM") - before) / 1e3


def machine(device: torch.device | None = None) -> str:
    """What the numbers are measured on."""
    device = torch.device("cpu") if device is None else device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8") if path.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", lines, re.MULTILINE)
    threads = torch.get_num_threads()
    return f"{model[1] if model else platform.processor()}, {threads} thread{'s' if threads > 1 else ''}"


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _process_kilobytes(field: str) -> int:
    """A field of this process's memory, as the kernel counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    match = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert match is not None
    return int(match[1])
