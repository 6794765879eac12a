"""Depthwise convolutions on a CPU: torch's gradients compared with ours, alone and in a network's step.

PYTHONPATH=src:. python benchmarks/depthwise.py [--quick]
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from measuring import asked_for_quick, interleaved, section
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.models.contract import Architecture
from icsd.models.depthwise import depthwise_conv2d, speed_up_depthwise
from icsd.models.networks import new_network
from icsd.stages.memory import keep_freed_memory

HEADER = ("what", "arithmetic", "forward, ms", "with torch's gradients, ms", "with ours, ms", "ratio")
ARITHMETIC = {"32-true": False, "bf16-mixed": True}


class Case(NamedTuple):
    """A convolution on square maps."""

    channels: int
    side: int
    kernel: int
    stride: int
    dilation: int

    @property
    def title(self) -> str:
        """Name of its row."""
        title = f"{self.channels} maps of {self.side}², {self.kernel} × {self.kernel}"
        title += f", stride {self.stride}" if self.stride > 1 else ""
        return title + (f", dilation {self.dilation}" if self.dilation > 1 else "")


CASES = (
    Case(96, 112, 3, 2, 1),
    Case(144, 56, 3, 1, 1),
    Case(672, 14, 5, 1, 1),
    Case(1152, 14, 3, 1, 2),
    Case(1152, 14, 5, 1, 2),
)  # of EfficientNet-Lite0 at stride 16, crops of 224
NETWORKS = {
    "step of EfficientNet-Lite0, crop of 224": Architecture(
        backbone="efficientnet_lite0", num_classes=11, head_width=0.25
    ),
    "step of MobileNetV2, half its width, crop of 224": Architecture(
        backbone="mobilenetv2", num_classes=11, width=0.5
    ),
}
BATCH = 8


def of_convolution(case: Case, *, mixed: bool, rounds: int) -> list[float]:
    """Milliseconds without gradients, with torch's gradients, and with ours."""
    dtype = torch.bfloat16 if mixed else torch.float32
    x = torch.randn(BATCH, case.channels, case.side, case.side, dtype=dtype)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(case.channels, 1, case.kernel, case.kernel, requires_grad=True)
    stride, dilation = (case.stride,) * 2, (case.dilation,) * 2
    padding = (case.kernel // 2 * case.dilation,) * 2
    ours = partial(depthwise_conv2d, x, weight, stride, padding, dilation)
    plain = partial(F.conv2d, x, weight, None, stride, padding, dilation, case.channels)
    return _by_turns(plain, ours, mixed=mixed, rounds=rounds)


def of_step(architecture: Architecture, *, side: int, mixed: bool, rounds: int) -> list[float]:
    """Milliseconds of a forward pass in training, and with the backward pass by torch's and our gradients."""
    layout = torch.channels_last if mixed else torch.contiguous_format  # as runtime.mode has it
    plain = new_network(architecture).train().to(memory_format=layout)
    ours = copy.deepcopy(plain)
    speed_up_depthwise(ours)
    images = torch.randn(BATCH, 3, side, side).to(memory_format=layout)
    return _by_turns(
        partial(_logits, plain, images), partial(_logits, ours, images), mixed=mixed, rounds=rounds
    )


def _by_turns(
    plain: Callable[[], Tensor], ours: Callable[[], Tensor], *, mixed: bool, rounds: int
) -> list[float]:
    times = interleaved(
        {
            "forward": partial(_without_gradients, plain, mixed=mixed),
            "plain": partial(_with_gradients, plain, mixed=mixed),
            "ours": partial(_with_gradients, ours, mixed=mixed),
        },
        rounds=rounds,
    )
    return [seconds * 1e3 for seconds in times.values()]


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    logits: Tensor = network(images)["logits"]
    return logits


def _without_gradients(call: Callable[[], Tensor], *, mixed: bool) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        call()


def _with_gradients(call: Callable[[], Tensor], *, mixed: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        output = call()
    torch.autograd.backward(output.float().square().mean())


def main() -> None:
    """Print the section."""
    quick = asked_for_quick()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    rows = []
    for mode, mixed in ARITHMETIC.items():
        measured = {
            case.title: of_convolution(case, mixed=mixed, rounds=1 if quick else 15)
            for case in (CASES[3:4] if quick else CASES)
        }
        for title, architecture in list(NETWORKS.items())[1:] if quick else NETWORKS.items():
            measured[title] = of_step(
                architecture, side=64 if quick else 224, mixed=mixed, rounds=1 if quick else 7
            )
        for title, (forward, plain, ours) in measured.items():
            rows.append((title, mode, f"{forward:.1f}", f"{plain:.1f}", f"{ours:.1f}", f"{plain / ours:.2f}"))
    print(
        section(
            "Depthwise convolutions on a CPU",
            f"Batches of {BATCH}, one thread; single convolutions with channels last, networks in the "
            "layout of their `runtime.mode`. Forward: without gradients. In float32, networks use our "
            "gradients for dilated convolutions only, and torch's elsewhere.",
            HEADER,
            rows,
        )
    )


if __name__ == "__main__":
    main()
