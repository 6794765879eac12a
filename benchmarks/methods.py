"""What every method's loss costs in time and memory, relative to pixel-wise KD's.

    PYTHONPATH=src python benchmarks/methods.py [--classes 21] [--size 129] [--batch 8] [--width 1.0]

Forward and backward of each method in METHODS with its default options, on random taps of a ResNet-18 student
and a ResNet-101 teacher (DeepLabV3+, output stride 16): without the networks, which cost the same for all of
them. All are timed interleaved in one run, so that the ratios can be compared; absolute times belong to the
machine that is printed. Memory is the peak above taps and adapters (``measuring.peak_megabytes``). On a CPU,
`--size 33 --batch 4 --width 0.25` takes a minute.
"""

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from measuring import machine, peak_megabytes, seconds
from torch import Tensor

from icsd.methods import METHODS, Method, build_method

STRIDES = {"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 16, "aspp": 16, "decoder": 4, "logits": 4}
STUDENT = {"stage1": 64, "stage2": 128, "stage3": 256, "stage4": 512, "aspp": 256, "decoder": 256}
TEACHER = STUDENT | {"stage1": 256, "stage2": 512, "stage3": 1024, "stage4": 2048}
REFERENCE = "kd"
Taps = Mapping[str, Tensor]


@dataclass(frozen=True)
class Inputs:
    """What every method gets."""

    student: Taps
    teacher: Taps
    labels: Tensor


def main() -> None:
    """Measure and print one line per method."""
    arguments = parse()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ours, theirs = (
        {tap: max(8, round(arguments.width * width)) for tap, width in widths.items()}
        | {"logits": arguments.classes}
        for widths in (STUDENT, TEACHER)
    )
    inputs = Inputs(
        make_taps(ours, arguments, device, seed=0),
        make_taps(theirs, arguments, device, seed=1),
        make_labels(arguments, device),
    )
    methods = {
        name: built.to(device)
        for name in sorted(METHODS, key=lambda name: name != REFERENCE)
        if (built := build(name, ours, theirs, arguments.classes)) is not None
    }
    shape = tuple(inputs.student["logits"].shape)
    print(f"{machine(device)}, torch {torch.__version__}; logits {shape}, width {arguments.width:g}")
    print("method            ms     × kd        MB     × kd   adapters  taps")
    steps = {name: partial(step, method, inputs) for name, method in methods.items()}
    memory: dict[str, float] = {}
    for name, call in steps.items():
        call()  # the warm-up
        memory[name] = peak_megabytes(call, device)
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(arguments.repeats):
        for name, call in steps.items():
            times[name].append(seconds(call, device))
    report(methods, times, memory)


def parse() -> argparse.Namespace:
    """The size of what is measured."""
    parser = argparse.ArgumentParser(description="Time and memory of every method's loss, relative to kd")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--size", type=int, default=129, help="height and width of the logits")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=float, default=1.0, help="of all channels but the logits'")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def make_taps(
    widths: Mapping[str, int], arguments: argparse.Namespace, device: torch.device, *, seed: int
) -> Taps:
    """Random maps of every tap of one network, at the strides of its layers."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {tap: 4 * (arguments.size - 1) // stride + 1 for tap, stride in STRIDES.items()}
    return {
        tap: torch.randn(arguments.batch, width, sizes[tap], sizes[tap], generator=generator).to(device)
        for tap, width in widths.items()
    }


def make_labels(arguments: argparse.Namespace, device: torch.device) -> Tensor:
    """Blocks of classes at four times the logits' size, one pixel in twenty ignored."""
    generator = torch.Generator().manual_seed(2)
    side = 4 * (arguments.size - 1) + 1
    coarse = torch.randint(
        arguments.classes, (arguments.batch, side // 32 + 1, side // 32 + 1), generator=generator
    )
    labels = coarse.repeat_interleave(32, dim=1).repeat_interleave(32, dim=2)[:, :side, :side]
    return labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.05, 255).to(device)


def build(name: str, ours: dict[str, int], theirs: dict[str, int], num_classes: int) -> Method | None:
    """The method with its default options; None for the student alone, which has nothing to compute."""
    method = METHODS[name]
    block = {"alw": False, "weights": dict.fromkeys(method.terms if method else (), 1.0)}
    return build_method(name, block, student_channels=ours, teacher_channels=theirs, num_classes=num_classes)


def step(method: Method, inputs: Inputs) -> None:
    """Forward and backward, to the student's taps and the adapters."""
    student = {tap: inputs.student[tap].detach().requires_grad_() for tap in method.taps}
    teacher = {tap: inputs.teacher[tap] for tap in method.taps}
    total = torch.stack(list(method(student, teacher, inputs.labels).values())).sum()
    torch.autograd.backward(total)
    method.zero_grad()


def report(
    methods: Mapping[str, Method], times: Mapping[str, list[float]], memory: Mapping[str, float]
) -> None:
    """One line per method, the reference first."""
    milliseconds = {name: 1e3 * statistics.median(record) for name, record in times.items()}
    for name, method in methods.items():
        adapters = sum(weight.numel() for weight in method.parameters() if weight.requires_grad)
        print(
            f"{name:<10} {milliseconds[name]:9.1f} {milliseconds[name] / milliseconds[REFERENCE]:8.2f} "
            f"{memory[name]:9.1f} {memory[name] / memory[REFERENCE]:8.2f} {adapters:10,d}  "
            f"{', '.join(method.taps)}"
        )


if __name__ == "__main__":
    main()
