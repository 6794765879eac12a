"""Time and peak memory of one call, on the CPU or CUDA; absolute values depend on the machine."""

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
    """Duration of one call in seconds by ``clock``, until the device is done."""
    _wait_for(device)
    start = clock()
    call()
    _wait_for(device)
    return clock() - start


def asked_for_quick() -> bool:
    """Parse the command line of a benchmark whose only option is ``--quick``: tiny sizes, done in seconds."""
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
    """Median seconds of every variant, interleaved so that all run under the same conditions.

    Every round runs each variant once, in an order that rotates from round to round, so that what a variant
    leaves in caches and allocators does not always affect the same one. With one thread, the clock
    ``time.process_time`` is least affected by other work on the machine.
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
    """Peak memory of a call in MB, above what is in use before it.

    Measured in torch's allocator on CUDA, and in the process (Linux, glibc) on the CPU. Warm up with one call
    before.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    ctypes.CDLL(None).malloc_trim(0)  # or reused freed memory would not show up in the peak
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the kernel's peak
    before = _process_kilobytes("VmRSS")
    call()
    return (_process_kilobytes("VmHWM") - before) / 1e3


def machine(device: torch.device | None = None) -> str:
    """The machine on which numbers are measured."""
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
    """A field of this process's memory status from the kernel, in kB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    match = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert match is not None
    return int(match[1])
