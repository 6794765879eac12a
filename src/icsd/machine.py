"""The processor that everything runs on."""

import os
import platform
from pathlib import Path


def cores() -> int:
    """Number of CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def processor() -> str:
    """Model name of the CPU, if the system has one. Speed and rounding of kernels depend on it."""
    return _from_kernel("model name") or platform.processor() or platform.machine()


def has_bfloat16() -> bool | None:
    """Whether the CPU has instructions for bfloat16, or None if the system does not tell."""
    flags = _from_kernel("flags") or _from_kernel("Features")  # x86's word, and ARM's
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split()) if flags else None


def _from_kernel(field: str) -> str:
    """A field of the first processor in /proc/cpuinfo; empty if there is no such field or file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not on Linux
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == field), "")
