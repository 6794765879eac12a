"""Describes the machine on which times were measured; times mean nothing without it."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import torch

from icsd.machine import cores, processor


def machine(devices: Sequence[torch.device]) -> dict[str, str]:
    """The CPU's model, the cores, the GPU if one is used, the current load, and versions of libraries."""
    found = {"cpu": processor(), "cores": str(cores())}
    if any(device.type == "cuda" for device in devices):
        found["gpu"] = torch.cuda.get_device_name()
    found |= {"load": f"{os.getloadavg()[0]:.1f}", "python": platform.python_version()}
    for library in ("torch", "onnxruntime"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
