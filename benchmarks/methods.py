"""Cost of every method's loss relative to the step of a student alone.

    PYTHONPATH=src:. python benchmarks/methods.py [--case default|camvid|full] [--rounds N] [--quick]

Forward and backward of each loss in METHODS with the options of params.yaml, on the taps of a ResNet-18
student and of the case's teacher; the backward pass ends at the student's taps and the method's adapters.
Pixel-wise KD that a block adds to another loss is left out, as it has its own row. Queues are full. All
losses are interleaved with the student's own step and the teacher's forward pass. One thread; memory is the
peak above taps and adapters (``measuring.peak_megabytes``).
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from measuring import interleaved, peak_megabytes, section
from torch import Tensor, nn

from icsd.methods import METHODS, Method, build_method
from icsd.models.deeplab import DeepLabV3Plus, build_network
from icsd.stages.memory import keep_freed_memory
from icsd.training.distiller import Distiller
from icsd.training.optim import build_optimizer
from icsd.yaml_files import read_yaml

Taps = Mapping[str, Tensor]
STEP, TEACHER = "the plain student's step", "the teacher's forward pass"
HEADER = ("forward and backward", "ms", "of the plain step", "× kd", "MB", "adapter weights", "taps")
BLOCKS = read_yaml(Path(__file__).parents[1] / "params.yaml")["methods"]


class Case(NamedTuple):
    """Networks and images; the student is a ResNet-18."""

    name: str
    teacher: str
    width: float
    crop: tuple[int, int]
    batch: int
    classes: int
    rounds: int


CASES = {
    "default": Case("the default's size", "resnet34", 0.25, (64, 64), 8, 9, 41),
    "camvid": Case("CamVid at half size", "resnet50", 0.25, (176, 240), 8, 11, 9),
    "full": Case("the published size", "resnet101", 1.0, (513, 513), 4, 21, 3),
}
QUICK = Case("a tiny size", "resnet18", 0.125, (32, 32), 2, 5, 1)


class Inputs(NamedTuple):
    """The inputs of every method."""

    student: Taps
    teacher: Taps
    labels: Tensor


def batch_of(case: Case) -> tuple[Tensor, Tensor]:
    """Random images, and labels with squares of classes and one pixel in twenty ignored."""
    generator = torch.Generator().manual_seed(0)
    height, width = case.crop
    images = torch.randn(case.batch, 3, height, width, generator=generator)
    side = max(8, height // 16)
    cells = (case.batch, height // side + 1, width // side + 1)
    coarse = torch.randint(case.classes, cells, generator=generator)
    labels = coarse.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, :height, :width]
    return images, labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.05, 255)


def build(name: str, student: DeepLabV3Plus, teacher: DeepLabV3Plus, *, classes: int) -> Method | None:
    """The method of a block, without the KD that the block may add; None for the student alone."""
    kind = METHODS[name]
    if kind is None:
        return None
    weights = dict.fromkeys(kind.terms, 1.0)
    method = build_method(
        name,
        {**BLOCKS[name], "weights": weights},
        student_channels=student.channels,
        teacher_channels=teacher.channels,
        num_classes=classes,
    )
    assert method is not None
    _fill_queues(method)
    return method


def _fill_queues(method: nn.Module) -> None:
    """Fill queues as after some epochs, since their entries cost time."""
    for name, buffer in method.named_buffers():
        if name.endswith("_seen"):
            buffer.fill_(10**6)
            ring = method.get_buffer(name.removesuffix("_seen"))
            ring.copy_(nn.functional.normalize(torch.randn(ring.shape), dim=-1))


def loss(method: Method, inputs: Inputs) -> None:
    """Forward and backward pass, down to the student's taps and the adapters."""
    student = {tap: inputs.student[tap].detach().requires_grad_() for tap in method.taps}
    teacher = {tap: inputs.teacher[tap] for tap in method.taps}
    total = torch.stack(list(method(student, teacher, inputs.labels).values())).sum()
    torch.autograd.backward(total)
    method.zero_grad()


def plain_step(student: DeepLabV3Plus, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """The step of a student without a teacher."""
    distiller = Distiller(student, teacher=None, method=None).train()
    optimizer = build_optimizer(
        student,
        None,
        name="adamw",
        lr=1e-5,
        head_lr_factor=1.0,
        momentum=0.9,
        nesterov=False,
        weight_decay=0.0,
    )

    def step() -> None:
        torch.autograd.backward(distiller(images, labels)["ce"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def rows_of(case: Case, *, rounds: int) -> list[list[object]]:
    """The rows of the step, the teacher and every method's loss, most expensive first."""
    torch.manual_seed(0)
    student = build_network("resnet18", num_classes=case.classes, width=case.width).train()
    teacher = build_network(case.teacher, num_classes=case.classes, width=case.width).eval()
    images, labels = batch_of(case)
    with torch.no_grad():
        inputs = Inputs(student(images), teacher(images), labels)
    methods = {
        name: method
        for name in METHODS
        if (method := build(name, student, teacher, classes=case.classes)) is not None
    }
    calls: dict[str, Callable[[], object]] = {
        STEP: plain_step(student, images, labels),
        TEACHER: torch.no_grad()(partial(teacher, images)),
        **{name: partial(loss, method, inputs) for name, method in methods.items()},
    }
    times = interleaved(calls, rounds=rounds, clock=time.process_time)
    rows: list[list[object]] = []
    for name in [STEP, TEACHER, *sorted(methods, key=lambda name: -times[name])]:
        row: list[object] = [
            name,
            f"{1e3 * times[name]:.1f}",
            f"{times[name] / times[STEP]:.1%}",
            f"{times[name] / times['kd']:.1f}",
            f"{peak_megabytes(calls[name], torch.device('cpu')):.1f}",
        ]
        if name in methods:
            adapters = sum(each.numel() for each in methods[name].parameters() if each.requires_grad)
            rows.append([*row, f"{adapters:,}", ", ".join(methods[name].taps)])
        else:
            rows.append([*row, "–", "–"])
    return rows


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description="What every method's loss costs beside the student's step")
    parser.add_argument("--case", choices=CASES, default="default")
    parser.add_argument("--rounds", type=int, help="by default each case has its own number")
    parser.add_argument("--quick", action="store_true", help="a tiny case, once")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    case = QUICK if arguments.quick else CASES[arguments.case]
    text = (
        f"Forward and backward of every loss at {case.name} ({case.crop[0]} × {case.crop[1]}, batch "
        f"{case.batch}, width {case.width:g}, {case.teacher} to resnet18), without the networks, beside the "
        "student's step without a teacher. The goal is 15 % of it at most. Processor time of one thread; "
        "memory is the peak above taps and adapters."
    )
    rows = rows_of(case, rounds=arguments.rounds or case.rounds)
    print(section("The methods' losses", text, HEADER, rows), end="")


if __name__ == "__main__":
    main()
