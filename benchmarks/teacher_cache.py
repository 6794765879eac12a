"""How much shorter an epoch is when the teacher's logits are read, and how much longer when they are written.

    PYTHONPATH=src:. python benchmarks/teacher_cache.py [--quick] [--rounds 7]

Whole epochs of AICSD with loading and augmentation, in three variants: the teacher runs; it runs and its
logits are written; they are read. The floor is the student alone, without teacher and method.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from measuring import interleaved, section
from torch import Tensor

from icsd.core.labels import Pixels
from icsd.data.loaders import TrainBatches
from icsd.data.transforms import augment
from icsd.methods.aicsd import AICSD
from icsd.models.contract import Architecture
from icsd.models.networks import new_network
from icsd.training.distiller import Distiller
from icsd.training.loop import Batches, Schedule, train_epoch
from icsd.training.monitor import NoMonitor
from icsd.training.optim import build_optimizer
from icsd.training.teacher_logits import TeacherLogits

BATCH = 8


class Case(NamedTuple):
    """Networks and images; the student is a ResNet-18."""

    teacher: str
    width: float
    image: tuple[int, int]
    crop: tuple[int, int]
    classes: int
    steps: int


CASES = {
    "default (64 × 64, ResNet-34, width 0.25)": Case("resnet34", 0.25, (64, 64), (64, 64), 9, 12),
    "CamVid at half size (176 × 240, ResNet-50, width 0.25)": Case(
        "resnet50", 0.25, (180, 240), (176, 240), 11, 3
    ),
}


class Pictures:
    """Random images and labels, as their content does not affect the time."""

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        shape = (case.steps * BATCH, *case.image)
        self._images = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        self._labels = rng.integers(0, case.classes, shape, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        return self._images[index], self._labels[index]


class Student:
    """A student with or without its teacher, trained as in the loop."""

    def __init__(self, case: Case, views: TrainBatches, *, taught: bool) -> None:
        torch.manual_seed(0)
        new = partial(Architecture, name="deeplabv3plus", num_classes=case.classes, width=case.width)
        teacher = new_network(new(backbone=case.teacher), setting="teacher") if taught else None
        student = new_network(new(backbone="resnet18"), setting="student")
        self.distiller = Distiller(student, teacher=teacher, method=AICSD() if taught else None)
        optimizer = build_optimizer(
            student,
            None,
            name="adamw",
            lr=1e-3,
            head_lr_factor=1.0,
            momentum=0.9,
            nesterov=False,
            weight_decay=0.0,
        )
        self._views = views
        self._fabric = Fabric(accelerator="cpu", devices=1)
        self._module, self._optimizer = self._fabric.setup(self.distiller, optimizer)
        self._schedule = Schedule(
            epochs=10**6,
            steps=case.steps,
            micro_batches=1,
            lr=1e-3,
            poly_power=0.9,
            warmup=0.0,
            clip_norm=0.0,
            validate_every=1,
            select="last",
            seed=0,
        )

    def logits(self, folder: Path, *, rounded: bool = False) -> TeacherLogits:
        """The cache of the teacher's logits in a folder."""

        def teach(images: Tensor) -> Tensor:
            return self.distiller.teach(images)["logits"]

        return TeacherLogits(
            folder,
            self._views.epoch,
            steps=self._schedule.steps,
            teach=teach,
            device=torch.device("cpu"),
            rounded=rounded,
        )

    def epoch(self, batches: Callable[[int], Batches]) -> None:
        """Train the first epoch's views."""
        weights = dict.fromkeys(self.distiller.terms, 1e-3)
        train_epoch(
            self._fabric,
            self._module,
            self._optimizer,
            batches(0),
            0,
            self._schedule,
            weights,
            NoMonitor(),
        )


def measure(case: Case, folder: Path, *, rounds: int) -> tuple[dict[str, float], dict[str, float], float]:
    """Median wall-clock and CPU seconds of an epoch, and the size of its file in MB."""
    transform = partial(augment, crop=case.crop, scale=(0.9, 1.1), blur=0.0, colour=0.2)
    views = TrainBatches(Pictures(case), transform, batch=BATCH, seed=0)
    alone, student = Student(case, views, taught=False), Student(case, views, taught=True)
    reading = student.logits(folder / "kept")
    halved = student.logits(folder / "halved", rounded=True)
    for kept in (reading, halved):  # the first fills, and the second compares its first batch
        student.epoch(kept.epoch)
        student.epoch(kept.epoch)

    def write() -> None:
        writing = student.logits(folder / "written")
        student.epoch(writing.epoch)
        writing.file(0).unlink()

    variants: dict[str, Callable[[], object]] = {
        "alone": lambda: alone.epoch(views.epoch),
        "live": lambda: student.epoch(views.epoch),
        "writing": write,
        "reading": lambda: student.epoch(reading.epoch),
        "float16": lambda: student.epoch(halved.epoch),
    }
    busy: dict[str, list[float]] = {name: [] for name in variants}

    def timed(name: str) -> None:
        started = time.process_time()
        variants[name]()
        busy[name].append(time.process_time() - started)

    wall = interleaved({name: partial(timed, name) for name in variants}, rounds=rounds)
    busied = {name: statistics.median(values[1:]) for name, values in busy.items()}
    return wall, busied, reading.file(0).stat().st_size / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time epochs whose teacher's logits are written and read")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one small case, once")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cases, rounds = CASES, arguments.rounds
    if arguments.quick:
        cases, rounds = {"tiny": Case("resnet18", 0.125, (32, 32), (32, 32), 5, 2)}, 1
    rows = []
    for name, case in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            wall, busy, megabytes = measure(case, Path(folder), rounds=rounds)
        live = busy["live"]
        rows.append(
            [
                name,
                f"{1000 * live / case.steps:.1f}",
                *(f"{busy[variant] / live:.3f}" for variant in ("writing", "reading", "float16", "alone")),
                f"{live / busy['reading']:.2f}",
                f"{wall['live'] / wall['reading']:.2f}",
                f"{megabytes / case.steps:.3f}",
            ]
        )
    header = [
        "Case",
        "live, ms a step",
        "writing",
        "reading",
        "float16",
        "alone",
        "speed-up",
        "by the clock",
        "MB a step",
    ]
    text = (
        "Epochs of AICSD with `runtime.teacher_cache`, as a fraction of the same epoch with a live teacher "
        f"(*live*; batches of {BATCH}, one thread, loading and augmentation included). *float16*: read from "
        "rounded logits; the floor is the student alone. Times are processor time, which depends less on "
        "other load; the last speed-up is in wall-clock time."
    )
    print(section("The teacher's logits from a file", text, header, rows))


if __name__ == "__main__":
    main()
