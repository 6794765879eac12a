"""The training step of the authors' released code compared with this project's, ResNet-101 to ResNet-18.

    PYTHONPATH=src:. python benchmarks/released_step.py [--sizes 257] [--rounds 5] [--quick]

``released`` is written from a description of that code, with this project's networks: the teacher in training
mode and in the autograd graph, so that it accumulates gradients that are never used; no dropout in the
pyramid; both networks' logits upsampled to the image; cross-entropy divided by the batch size; pixel-wise KD
as PyTorch's mean; ICSD as a loop over class pairs; float32. Each variant runs in its own process with a fresh
allocator, one at a time. One thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Literal, NamedTuple

import torch
from icsd_loss import loop
from lightning_fabric import Fabric
from measuring import peak_megabytes, section
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.logits import upsample
from icsd.methods.aicsd import AICSD
from icsd.models.deeplab import DeepLabV3Plus, build_network
from icsd.models.folding import folded
from icsd.stages.memory import keep_freed_memory
from icsd.training.distiller import Distiller
from icsd.training.optim import build_optimizer

BATCH, CLASSES = 2, 21
WEIGHTS = {"kd": 10.0, "icsd": 9500.0}
"""The released weights."""
RELEASED = "released"
WITHOUT_GRADIENT = "released, teacher without gradients"


class Case(NamedTuple):
    """Both networks and the image."""

    teacher: str
    width: float
    size: int


class Variant(NamedTuple):
    """A step of this project."""

    mode: Literal["exact", "fast"]
    what: Literal["AICSD", "AICSD, logits given", "student alone"]


VARIANTS = {
    f"{what}, `mode: {mode}`": Variant(mode, what)
    for what in ("AICSD", "AICSD, logits given", "student alone")
    for mode in ("exact", "fast")
}


def networks(case: Case) -> tuple[DeepLabV3Plus, DeepLabV3Plus]:
    """Student and teacher."""
    torch.manual_seed(0)
    student, teacher = (
        build_network(name, num_classes=CLASSES, width=case.width) for name in ("resnet18", case.teacher)
    )
    return student, teacher


def batch_of(case: Case) -> tuple[Tensor, Tensor]:
    """Random images, and labels with one pixel in twenty ignored."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, case.size, case.size, generator=generator)
    labels = torch.randint(CLASSES, (BATCH, case.size, case.size), generator=generator)
    return images, labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.05, 255)


def released(case: Case, *, gradients: bool) -> Callable[[], None]:
    """The released step."""
    student, teacher = networks(case)
    images, labels = batch_of(case)
    for network in (student, teacher):
        network.aspp_dropout = nn.Dropout(0.0)
        network.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        with torch.set_grad_enabled(gradients):
            theirs = upsample(teacher(images)["logits"], images.shape[-2:])
        ours = upsample(student(images)["logits"], images.shape[-2:])
        hard = F.cross_entropy(ours, labels, ignore_index=255) / BATCH
        soft = F.kl_div(F.log_softmax(ours, dim=1), F.softmax(theirs, dim=1), reduction="none").mean()
        total = hard + WEIGHTS["kd"] * soft + WEIGHTS["icsd"] * loop(ours, theirs)
        optimizer.zero_grad()
        torch.autograd.backward(total)
        optimizer.step()

    return step


def ours(case: Case, variant: Variant) -> Callable[[], object]:
    """A step as in the training loop."""
    student, teacher = networks(case)
    images, labels = batch_of(case)
    is_fast, is_taught = variant.mode == "fast", variant.what != "student alone"
    if is_taught:
        stand_in = folded(teacher, images[:1], dtype=torch.bfloat16) if is_fast else None
        distiller = Distiller(student, teacher=teacher, method=AICSD(), stand_in=stand_in)
    else:
        distiller = Distiller(student, teacher=None, method=None)
    layout = torch.channels_last if is_fast else torch.contiguous_format
    for network in (student, distiller.teaching):
        if network is not None:
            network.to(memory_format=layout)
    optimizer = build_optimizer(
        student,
        None,
        name="sgd",
        lr=1e-4,
        head_lr_factor=1.0,
        momentum=0.9,
        nesterov=False,
        weight_decay=5e-4,
        fused=is_fast,
    )
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed" if is_fast else "32-true")
    module, wrapped = fabric.setup(distiller, optimizer)
    module.train()
    logits: tuple[Tensor, ...] = ()
    if variant.what == "AICSD, logits given":
        with fabric.autocast():
            logits = (distiller.teach(images)["logits"],)

    def step() -> None:
        terms = module(images, labels, *logits)
        fabric.backward(torch.stack(list(terms.values())).sum())
        wrapped.step()
        wrapped.zero_grad(set_to_none=True)

    return step


def serve(asking: Connection, case: Case, name: str) -> None:
    """Measure the cost of a step on request, in its own process."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if name in VARIANTS:
        keep_freed_memory()
        step = ours(case, VARIANTS[name])
    else:
        step = released(case, gradients=name == RELEASED)
    for _ in range(2):
        step()
    asking.send(peak_megabytes(step, torch.device("cpu")))
    while asking.recv():
        start = time.process_time()
        step()
        asking.send(time.process_time() - start)


def measure(case: Case, names: Sequence[str], *, rounds: int) -> dict[str, tuple[float, float]]:
    """Map each variant to its median CPU seconds, and its peak memory in MB above that between steps."""
    context = get_context("spawn")
    asked: dict[str, Connection] = {}
    processes = []
    for name in names:
        asked[name], theirs = context.Pipe()
        process = context.Process(target=partial(serve, theirs, case, name), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        asked[name].poll(None)  # one at a time, as together they need more memory and disturb each other
    memory = {name: connection.recv() for name, connection in asked.items()}
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, connection in asked.items():
            connection.send(True)
            times[name].append(connection.recv())
    for connection, process in zip(asked.values(), processes, strict=True):
        connection.send(False)
        process.join()
    return {name: (statistics.median(times[name]), memory[name]) for name in asked}


def rows_of(case: Case, names: Sequence[str], *, rounds: int) -> list[list[object]]:
    """A row for every variant."""
    found = measure(case, names, rounds=rounds)
    slowest, most = found[RELEASED]
    return [
        [
            f"{case.size}²",
            name,
            f"{1e3 * seconds:.0f}",
            f"{slowest / seconds:.2f}",
            f"{memory:.0f}",
            f"{memory / most:.2f}",
        ]
        for name, (seconds, memory) in found.items()
    ]


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description="Time the released training step and this project's")
    parser.add_argument("--sizes", nargs="+", type=int, default=[129, 257], help="sides of the images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tiny case, some variants, once")
    arguments = parser.parse_args()
    cases, rounds = [Case("resnet101", 1.0, size) for size in arguments.sizes], arguments.rounds
    names = [RELEASED, WITHOUT_GRADIENT, *VARIANTS]
    if arguments.quick:
        cases, names, rounds = [Case("resnet18", 0.125, 33)], [RELEASED, *list(VARIANTS)[1::2]], 1
    text = (
        "The authors' released training step and this project's, ResNet-101 to ResNet-18, batch 2, 21 "
        "classes. The floors are a teacher whose logits are given, and a student alone. Goal: 4 times as "
        "fast in float32 and 9 times under `mode: fast`, at 257². Memory is the peak of a step above what is "
        "there between two. Processor time of one thread, each variant in a process of its own."
    )
    header = ("image", "step", "ms", "faster", "MB", "of the released")
    rows = [row for case in cases for row in rows_of(case, names, rounds=rounds)]
    print(section("The released step", text, header, rows), end="")


if __name__ == "__main__":
    main()
