"""Where networks run: one decision for training, evaluation and verification."""

from typing import Literal

import torch

from icsd.errors import UserError
from icsd.params import Runtime


def accelerator(runtime: Runtime) -> Literal["cpu", "cuda"]:
    """The accelerator that ``runtime.accelerator`` asks for.

    ``auto`` means CUDA or else the CPU, never Apple's MPS, which has no float64 for the sums of an epoch.

    Raises:
        UserError: CUDA is requested but not available.
    """
    available = torch.cuda.is_available()
    if runtime.accelerator == "auto":
        return "cuda" if available else "cpu"
    if runtime.accelerator == "cuda" and not available:
        raise UserError(
            "runtime.accelerator: is cuda, but torch sees no CUDA device here; set it to auto or cpu in "
            "params.yaml, or check `nvidia-smi` and CUDA_VISIBLE_DEVICES"
        )
    return runtime.accelerator


def device_name(device: torch.device) -> str:
    """``cpu``, or the model of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
