"""The training loop. Weighting, validation, logging and checkpoints all go by epochs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from icsd.core.pieces import Piece, forward_of
from icsd.core.seeds import seed_at
from icsd.training.monitor import Monitor
from icsd.training.optim import lr_at, set_lr
from icsd.training.spent import Spent, now

Batches = Iterable[tuple[Tensor, ...]]
"""The module's inputs for each micro-batch: images, labels, and optionally the teacher's logits."""
Row = dict[str, float]
Validate = Callable[[], Mapping[str, float]]
"""Returns mIoU and accuracies, as fractions, on images that are not reported."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train, and which weights to keep.

    Attributes:
        epochs: Epochs of the whole run.
        steps: Optimiser steps of one epoch.
        micro_batches: Forward passes whose gradients are accumulated in one step.
        lr: Initial learning rate, which decays to 0 with ``poly_power``.
        poly_power: See ``icsd.training.optim.lr_at``.
        warmup: Number of warm-up steps.
        clip_norm: Largest norm of a step's gradient; 0 for no clipping.
        validate_every: Epochs between validations; the last epoch is always validated.
        select: Keep the weights of the ``last`` epoch or of the ``best_val`` validation mIoU.
        seed: Seed of the run. Dropout in epoch e is seeded by (seed, e, 0), or by (seed, e, rank) if a
            network has its own kind of dropout.
    """

    epochs: int
    steps: int
    micro_batches: int
    lr: float
    poly_power: float
    warmup: float
    clip_norm: float
    validate_every: int
    select: Literal["last", "best_val"]
    seed: int


@dataclass
class Progress:
    """The progress of a run: what resuming needs in addition to model, optimiser and monitor.

    Attributes:
        epoch: Number of finished epochs.
        history: A row per finished epoch, as in history.csv.
        seconds: Wall-clock time spent in the loop, in seconds.
        resumed: How often training was resumed.
        cached_epochs: Number of epochs in which the teacher's logits were read from files.
        seconds_saved: Wall-clock seconds that these files saved; writing them counts as negative.
        processor_seconds: CPU time spent in the loop, in seconds.
        processor_saved: CPU seconds that these files saved, likewise.
        best_epoch: Epoch of ``best_weights``.
        best_weights: The student's weights, on the CPU; None unless the best validated epoch is selected.
    """

    epoch: int = 0
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    resumed: int = 0
    cached_epochs: int = 0
    seconds_saved: float = 0.0
    processor_seconds: float = 0.0
    processor_saved: float = 0.0
    best_epoch: int = 0
    best_weights: dict[str, Tensor] | None = None

    def add(self, spent: Spent) -> None:
        """Add time spent in the loop."""
        self.seconds += spent.seconds
        self.processor_seconds += spent.processor


def fit(
    fabric: Fabric,
    module: Any,  # noqa: ANN401 - a Distiller as wrapped by Fabric
    optimizer: Optimizer,
    progress: Progress,
    *,
    student: nn.Module,
    schedule: Schedule,
    batches: Callable[[int], Batches],
    weights: Callable[[int], dict[str, float]],
    validate: Validate | None,
    monitor: Monitor,
    on_epoch: Callable[[Progress], None],
) -> Progress:
    """Train from the epoch that ``progress`` has reached to the last one.

    Args:
        fabric: Devices and precision.
        module: The wrapped Distiller.
        optimizer: Its optimiser, wrapped.
        progress: Changed in place and returned.
        student: The network inside ``module``, whose weights are the result.
        schedule: Epochs, learning rate, selection.
        batches: Maps an epoch (from 0) to its micro-batches.
        weights: Maps an epoch (from 0) to the weight of each term.
        validate: Scores the student; None without validation images.
        monitor: Observes the student and may add columns to the history.
        on_epoch: Called after each epoch on every rank, to log and then write the checkpoint.

    Raises:
        FloatingPointError: A loss is not finite; ``progress`` then ends with the previous epoch.
    """
    if progress.epoch == 0:
        monitor.after_epoch(0)
    for epoch in range(progress.epoch, schedule.epochs):
        started = now()
        torch.manual_seed(seed_at(schedule.seed, "dropout", epoch, fabric.global_rank))
        term_weights = weights(epoch)
        try:
            losses = train_epoch(
                fabric, module, optimizer, batches(epoch), epoch, schedule, term_weights, monitor
            )
        except FloatingPointError:
            progress.add(now() - started)  # a failed epoch costs time as well
            raise
        row: Row = {"epoch": epoch + 1, "lr": optimizer.param_groups[0]["lr"]}
        row |= {f"loss/{name}": value for name, value in losses.items()}
        row |= {f"weight/{name}": value for name, value in term_weights.items()}
        row |= monitor.after_steps(fabric)
        _share_buffers(fabric, module)
        if validate is not None and is_validated(epoch + 1, schedule):
            row |= {f"val/{name}": value for name, value in validate().items()}
            _keep_best(progress, row, student, schedule)
        row |= monitor.after_epoch(epoch + 1)
        progress.epoch = epoch + 1
        progress.history.append(row)
        progress.add(now() - started)
        _report_epoch(fabric, row, progress, schedule)
        on_epoch(progress)
    return progress


def is_validated(finished: int, schedule: Schedule) -> bool:
    """Whether epoch number ``finished`` (from 1) is followed by validation."""
    return finished % schedule.validate_every == 0 or finished == schedule.epochs


def train_epoch(
    fabric: Fabric,
    module: Any,  # noqa: ANN401 - a Distiller as wrapped by Fabric
    optimizer: Optimizer,
    batches: Batches,
    epoch: int,
    schedule: Schedule,
    weights: Mapping[str, float],
    monitor: Monitor,
) -> dict[str, float]:
    """One pass over the data.

    Returns:
        Means over the epoch and all ranks of the weighted ``total`` and of each unweighted term.
    """
    module.train()
    sums: dict[str, Tensor] = {}
    parts = schedule.micro_batches
    generator = _common_generator(fabric, epoch, schedule)
    bar = tqdm(
        total=schedule.steps,
        desc=f"epoch {epoch + 1}/{schedule.epochs}",
        unit="step",
        leave=False,
        disable=None if fabric.is_global_zero else True,  # None: silent without a terminal
    )
    for step, share in enumerate(_shares(batches, parts)):
        labels = tuple(fabric.to_device(batch[1]) for batch in share)
        drawn = generator.get_state() if generator is not None else None
        for part, (images, _, *others) in enumerate(share):
            if generator is not None and drawn is not None:
                generator.set_state(drawn)
            piece = Piece(fabric.global_rank, fabric.world_size, part, labels, generator)
            with fabric.no_backward_sync(module, enabled=part + 1 < parts):
                with forward_of(piece):
                    terms = module(fabric.to_device(images), labels[part], *fabric.to_device(others))
                if part == 0:
                    monitor.before_backward(fabric, step, terms, weights)
                total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
                fabric.backward(total / parts)
            for name, value in {"total": total, **terms}.items():
                sums[name] = sums.get(name, torch.zeros_like(value, dtype=torch.float64)) + value.detach()
        _step(fabric, module, optimizer, epoch * schedule.steps + step, schedule)
        bar.update()
        if not bar.disable and bar.n % 10 == 0:  # not every step, as reading a loss waits for the device
            done = (step + 1) * parts
            bar.set_postfix({name: f"{value.item() / done:.3f}" for name, value in sums.items()})
    bar.close()
    stacked = torch.stack(list(sums.values())) / (schedule.steps * parts)
    means: Tensor = fabric.all_reduce(stacked, reduce_op="mean")  # type: ignore[assignment]
    losses = dict(zip(sums, means.tolist(), strict=True))
    _check_finite(losses, epoch)
    return losses


def _shares(batches: Batches, parts: int) -> Iterator[list[tuple[Tensor, ...]]]:
    """This process's share of every step's batch, in parts: all labels are known before the first forward."""
    waiting = iter(batches)
    while share := list(islice(waiting, parts)):
        yield share


def _common_generator(fabric: Fabric, epoch: int, schedule: Schedule) -> torch.Generator | None:
    """Generator of the draws of one forward pass over the whole batch; None if the batch is not divided."""
    if fabric.world_size * schedule.micro_batches == 1:
        return None
    return torch.Generator(fabric.device).manual_seed(seed_at(schedule.seed, "dropout", epoch, 0))


def _share_buffers(fabric: Fabric, module: nn.Module) -> None:
    """Broadcast the first rank's buffers: running statistics differ if BatchNorm is not synchronised."""
    if fabric.world_size > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def _step(fabric: Fabric, module: Any, optimizer: Optimizer, step: int, schedule: Schedule) -> None:  # noqa: ANN401
    steps = schedule.epochs * schedule.steps
    rate = lr_at(step, steps=steps, lr=schedule.lr, power=schedule.poly_power, warmup=schedule.warmup)
    set_lr(optimizer, rate)
    if schedule.clip_norm > 0:
        fabric.clip_gradients(module, optimizer, max_norm=schedule.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _check_finite(losses: Mapping[str, float], epoch: int) -> None:
    bad = [name for name, value in losses.items() if not abs(value) < float("inf")]
    if bad:
        raise FloatingPointError(f"epoch {epoch + 1}: loss {', '.join(bad)} is not finite")


def _keep_best(progress: Progress, row: Row, student: nn.Module, schedule: Schedule) -> None:
    if schedule.select != "best_val":
        return
    best = max((former["val/miou"] for former in progress.history if "val/miou" in former), default=-1.0)
    if row["val/miou"] > best:
        progress.best_epoch = int(row["epoch"])
        progress.best_weights = {
            name: value.detach().cpu().clone() for name, value in student.state_dict().items()
        }


def _report_epoch(fabric: Fabric, row: Row, progress: Progress, schedule: Schedule) -> None:
    if not fabric.is_global_zero:
        return
    per_epoch = progress.seconds / progress.epoch
    parts = [f"epoch {progress.epoch}/{schedule.epochs}"]
    parts += [
        f"{key.removeprefix('loss/')} {value:.4f}" for key, value in row.items() if key.startswith("loss/")
    ]
    if "val/miou" in row:
        parts.append(f"val mIoU {100 * row['val/miou']:.2f}")
    parts.append(f"{per_epoch:.1f} s/epoch, {per_epoch * (schedule.epochs - progress.epoch):.0f} s left")
    print("  ".join(parts), flush=True)
