"""The machine on which times were measured: without it they say nothing."""

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")


def cores() -> int:
    """That this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def machine(devices: Sequence[torch.device]) -> dict[str, str]:
    """The CPU's model, the cores, the GPU where one is used, the load before, and versions of libraries."""
    found = {"cpu": _cpu(), "cores": str(cores())}
    if any(device.type == "cuda" for device in devices):
        found["gpu"] = torch.cuda.get_device_name()
    found |= {"load": f"{os.getloadavg()[0]:.1f}", "python": platform.python_version()}
    for library in ("torch", "onnxruntime"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    text = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.is_file() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()
