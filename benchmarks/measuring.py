"""Time and peak memory of one call, on the CPU or CUDA; absolute values belong to the machine."""

import ctypes
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, until the device is done."""
    _wait_for(device)
    start = time.perf_counter()
    call()
    _wait_for(device)
    return time.perf_counter() - start


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


def machine(device: torch.device) -> str:
    """What the numbers are measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8") if path.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", lines, re.MULTILINE)
    return f"{model[1] if model else platform.processor()}, {torch.get_num_threads()} threads"


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _process_kilobytes(field: str) -> int:
    """A field of this process's memory, as the kernel counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    match = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert match is not None
    return int(match[1])
