"""A training step under every setting of ``runtime`` that changes its speed, alone and together.

    PYTHONPATH=src:. python benchmarks/step.py [--rounds N] [--quick]

The step is that of an AICSD student in the training loop (Fabric, Distiller, optimiser of the preset), on a
prepared random batch, as the content of images does not affect the time. Compared under the same setting are
the step with given teacher logits, as from ``runtime.teacher_cache``, the step of the student alone, and the
teacher's forward pass. All settings are interleaved in one run, with one thread.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from lightning_fabric import Fabric
from measuring import interleaved, section
from torch import Tensor

from icsd.methods.aicsd import AICSD
from icsd.models.contract import Architecture
from icsd.models.folding import folded
from icsd.models.networks import new_network
from icsd.stages.memory import keep_freed_memory
from icsd.training.distiller import Distiller
from icsd.training.optim import build_optimizer


class Case(NamedTuple):
    """Networks and images; the student is a ResNet-18."""

    teacher: str
    width: float
    crop: tuple[int, int]
    batch: int
    classes: int
    optimizer: Literal["sgd", "adamw"]
    rounds: int


class Setting(NamedTuple):
    """Keys of ``runtime``."""

    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    channels_last: bool = False
    fold_teacher: bool = False
    fused_optimizer: bool = False


CASES = {
    "default (64 × 64, ResNet-34, width 0.25)": Case("resnet34", 0.25, (64, 64), 8, 9, "adamw", 41),
    "CamVid at half size (176 × 240, ResNet-50, width 0.25)": Case(
        "resnet50", 0.25, (176, 240), 8, 11, "sgd", 9
    ),
}
QUICK = {"tiny": Case("resnet18", 0.125, (32, 32), 2, 5, "sgd", 1)}
SETTINGS = {
    "`mode: exact`": Setting(),
    "`fold_teacher`": Setting(fold_teacher=True),
    "`fused_optimizer`": Setting(fused_optimizer=True),
    "`channels_last`": Setting(channels_last=True),
    "`channels_last`, `fold_teacher`, `fused_optimizer`": Setting("32-true", True, True, True),
    "`bf16-mixed`": Setting("bf16-mixed"),
    "`bf16-mixed`, `channels_last`": Setting("bf16-mixed", channels_last=True),
    "`mode: fast`": Setting("bf16-mixed", True, True, True),
}
EXACT = next(iter(SETTINGS))
HEADER = (
    *("case", "setting", "AICSD, ms", "faster", "logits given, ms", "faster"),
    *("student alone, ms", "teacher, ms", "× student and teacher"),
)


class Trained:
    """A student under a setting, with or without its teacher."""

    def __init__(self, case: Case, setting: Setting, batch: tuple[Tensor, Tensor], *, taught: bool) -> None:
        torch.manual_seed(0)
        new = partial(Architecture, num_classes=case.classes, width=case.width)
        student = new_network(new(backbone="resnet18"))
        teacher = new_network(new(backbone=case.teacher)) if taught else None
        stand_in = None
        if teacher is not None and setting.fold_teacher:
            dtype = torch.bfloat16 if setting.precision == "bf16-mixed" else torch.float32
            stand_in = folded(teacher, batch[0][:1], dtype=dtype)
        self.distiller = Distiller(
            student, teacher=teacher, method=AICSD() if taught else None, stand_in=stand_in
        )
        layout = torch.channels_last if setting.channels_last else torch.contiguous_format
        for network in (student, self.distiller.teaching):
            if network is not None:
                network.to(memory_format=layout)
        optimizer = build_optimizer(
            student,
            None,
            name=case.optimizer,
            lr=1e-4,
            head_lr_factor=1.0,
            momentum=0.9,
            nesterov=False,
            weight_decay=1e-4,
            fused=setting.fused_optimizer,
        )
        self._batch = batch
        self._fabric = Fabric(accelerator="cpu", devices=1, precision=setting.precision)
        self._module, self._optimizer = self._fabric.setup(self.distiller, optimizer)
        self._module.train()

    def step(self, *logits: Tensor) -> None:
        """Forward and backward pass, and the optimiser."""
        terms = self._module(*self._batch, *logits)
        self._fabric.backward(torch.stack(list(terms.values())).sum())
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def teach(self) -> Tensor:
        """The teacher's logits."""
        with self._fabric.autocast():
            return self.distiller.teach(self._batch[0])["logits"]


def batch_of(case: Case) -> tuple[Tensor, Tensor]:
    """Random images, and labels with one pixel in twenty ignored."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(case.batch, 3, *case.crop, generator=generator)
    labels = torch.randint(case.classes, (case.batch, *case.crop), generator=generator)
    return images, labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.05, 255)


def rows_of(name: str, case: Case, *, rounds: int) -> list[list[object]]:
    """A row for every setting."""
    batch = batch_of(case)
    calls: dict[str, Callable[[], object]] = {}
    for label, setting in SETTINGS.items():
        taught, alone = (Trained(case, setting, batch, taught=taught) for taught in (True, False))
        calls |= {
            f"{label} step": taught.step,
            f"{label} given": partial(taught.step, taught.teach()),
            f"{label} alone": alone.step,
            f"{label} teacher": taught.teach,
        }
    times = interleaved(calls, rounds=rounds, clock=time.process_time)
    rows: list[list[object]] = []
    for label in SETTINGS:
        step, given, alone_, teacher = (
            times[f"{label} {what}"] for what in ("step", "given", "alone", "teacher")
        )
        exact = times[f"{EXACT} step"]
        rows.append(
            [
                name,
                label,
                f"{1e3 * step:.1f}",
                f"{exact / step:.2f}",
                f"{1e3 * given:.1f}",
                f"{exact / given:.2f}",
                f"{1e3 * alone_:.1f}",
                f"{1e3 * teacher:.1f}",
                f"{step / (alone_ + teacher):.2f}",
            ]
        )
    return rows


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description="Time a training step under the settings of runtime")
    parser.add_argument("--rounds", type=int, help="of every case; by default each has its own number")
    parser.add_argument("--quick", action="store_true", help="one tiny case, once")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cases = QUICK if arguments.quick else CASES
    text = (
        "An AICSD step under the keys of `runtime` that change its speed, against `mode: exact`; *logits "
        "given* is the floor of a teacher that costs nothing, as with a full `teacher_cache`. The last "
        "column compares the step with the student's own and the teacher's forward pass under the same "
        "setting: what is above 1 is the method's (goal: at most 1.1). Processor time of one thread."
    )
    rows = [
        row
        for name, case in cases.items()
        for row in rows_of(name, case, rounds=arguments.rounds or case.rounds)
    ]
    print(section("A training step", text, HEADER, rows), end="")


if __name__ == "__main__":
    main()
