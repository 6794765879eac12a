"""Everything that a training needs: networks, method, optimiser, batches, schedule, validation."""

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Dataset, Subset

from icsd.core import metrics
from icsd.core.seeds import seed_at
from icsd.core.supervision import class_weights
from icsd.data.frequencies import class_pixels
from icsd.data.loaders import BatchSizeError, EvalBatches, TrainBatches
from icsd.data.prepared import TRAIN, VALIDATION, PreparedData
from icsd.data.subsets import chosen_images, other_images
from icsd.data.transforms import augment, prepare
from icsd.errors import UserError
from icsd.methods import build_method
from icsd.models.contract import Network
from icsd.models.depthwise import speed_up_depthwise
from icsd.models.divided import share_dropout, synchronise_batchnorm
from icsd.models.folding import folded, num_batchnorms
from icsd.models.weights import load_network
from icsd.stages.own_weights import initial_network
from icsd.stages.training.job import Job
from icsd.stages.training.process import Run
from icsd.training.distiller import Distiller
from icsd.training.loop import Schedule, Validate
from icsd.training.optim import build_optimizer
from icsd.training.validation import validation_confusion

COMPILING = (
    "runtime.compile: the first step is compiled, which takes a minute or more before anything is seen to "
    "happen; it pays for long trainings of wide networks, hardly for small ones"
)


@dataclass(frozen=True)
class Setup:
    """Everything that a training needs.

    Attributes:
        distiller: Student, method and teacher.
        optimizer: Updates the student and the method's adapters.
        wrapped: The distiller and the optimiser as Fabric runs them.
        batches: Batches of the training images.
        schedule: Epochs, learning rates, selection of the best epoch.
        validate: Scores the student; None without validation images.
    """

    distiller: Distiller
    optimizer: torch.optim.Optimizer
    wrapped: tuple[Any, Any]
    batches: TrainBatches
    schedule: Schedule
    validate: Validate | None

    @property
    def student(self) -> Network:
        """The network whose weights are the result; the teacher itself in the teacher's own run."""
        return cast(Network, self.distiller.student)


def set_up(run: Run) -> Setup:
    """Build everything that is needed before the first step.

    Raises:
        UserError: A method's block, a network's weights or the batch size is invalid.
    """
    job, fabric = run.job, run.fabric
    distiller = _build_distiller(run)
    optimizer = build_optimizer(
        distiller.student,
        distiller.method,
        name=job.training.optimizer,
        lr=job.training.lr,
        head_lr_factor=job.training.head_lr_factor,
        momentum=job.training.momentum,
        nesterov=job.training.nesterov,
        weight_decay=job.training.weight_decay,
        fused=job.params.runtime.fused_optimizer,
    )
    _make_ready_for_pieces(distiller, job, fabric)
    if fabric.device.type == "cpu":
        speed_up_depthwise(distiller)
    _to_device(distiller, fabric, channels_last=job.params.runtime.channels_last)
    if job.params.runtime.compile:
        fabric.print(COMPILING, flush=True)
    compiled = torch.compile(distiller) if job.params.runtime.compile else distiller
    module, wrapped_optimizer = fabric.setup(cast(nn.Module, compiled), optimizer)
    batches = _train_batches(run.data, job, fabric)
    return Setup(
        distiller=distiller,
        optimizer=optimizer,
        wrapped=(module, wrapped_optimizer),
        batches=batches,
        schedule=_schedule(job, steps=batches.steps_per_epoch, fabric=fabric),
        validate=_validation(run.data, job, distiller.student, fabric),
    )


def _build_distiller(run: Run) -> Distiller:
    """Networks and method; initial weights depend on seed and network alone, so all methods share them."""
    job, params, key = run.job, run.job.params, run.job.key
    torch.manual_seed(seed_at(key.seed, "init", key.network))
    student = initial_network(run.root, params, key)
    auxiliary = next(iter(job.training.label_terms), None)
    distiller = partial(Distiller, student, class_weights=_class_weights(run), auxiliary=auxiliary)
    if key.is_teacher:
        return distiller(teacher=None, method=None)
    teacher = load_network(run.teacher_weights)
    torch.manual_seed(seed_at(key.seed, "adapters", key.method))
    method = build_method(
        key.method,
        job.block,
        student_channels=student.channels,
        teacher_channels=teacher.channels,
        num_classes=params.data.classes,
    )
    if method is None:
        return distiller(teacher=None, method=None)
    return distiller(teacher=teacher, method=method, stand_in=_stand_in(teacher, run))


def _stand_in(teacher: Network, run: Run) -> nn.Module | None:
    """A copy of the teacher with folded BatchNorms, or None; the monitor measures the teacher itself."""
    runtime = run.job.params.runtime
    if not runtime.fold_teacher:
        return None
    images = torch.rand(1, 3, *run.job.params.images.crop, generator=torch.Generator().manual_seed(0))
    dtype = torch.bfloat16 if runtime.precision == "bf16-mixed" else torch.float32
    faster = folded(teacher, images, dtype=dtype)
    of, left = num_batchnorms(teacher), num_batchnorms(faster)
    run.fabric.print(
        f"runtime.fold_teacher: {of - left} of the teacher's {of} BatchNorms are folded", flush=True
    )
    return faster


def _class_weights(run: Run) -> torch.Tensor | None:
    """Class weights of the cross-entropy, from the labels of the training images; None for equal weights."""
    kind, num_classes = run.job.training.class_weights, run.job.params.data.classes
    if kind == "none":
        return None
    images = train_images(run.data, run.job)
    labels = (images[index][1] for index in range(len(images)))
    return class_weights(kind, *class_pixels(labels, num_classes=num_classes))


def _make_ready_for_pieces(distiller: Distiller, job: Job, fabric: Fabric) -> None:
    """Prepare modules that depend on the whole batch for forward passes that see only a part of it."""
    if fabric.world_size > 1 and job.training.sync_batchnorm:
        try:
            synchronise_batchnorm(distiller, fabric.device)
        except UserError as error:
            raise UserError(f"{job.training_block}.{error}") from error
    parts = _micro_batches(job, fabric)
    if fabric.world_size * parts > 1:
        share_dropout(distiller)
    across = any(getattr(module, "across_images", False) for module in distiller.modules())
    if parts > 1 and (across or job.training.label_terms):
        fabric.print(
            f"note: {job.key.title}: its loss depends on which images are in a forward pass together; "
            f"runtime.max_batch_per_device makes {parts} passes of a batch of {job.training.batch}, and that "
            "is another loss",
            flush=True,
        )


def _to_device(distiller: Distiller, fabric: Fabric, *, channels_last: bool) -> None:
    """Move the teacher and its stand-in, which are not in the module tree; Fabric moves the rest."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    distiller.student.to(memory_format=layout)
    for frozen in (distiller.teacher, distiller.teaching):
        if frozen is not None:
            frozen.to(fabric.device).to(memory_format=layout)


def _train_batches(data: PreparedData, job: Job, fabric: Fabric) -> TrainBatches:
    images = job.params.images
    transform = partial(
        augment,
        crop=(images.crop[0], images.crop[1]),
        scale=(images.scale[0], images.scale[1]),
        input_scale=images.input_scale,
        flip=images.flip,
        blur=images.blur,
        colour=images.colour,
    )
    try:
        return TrainBatches(
            train_images(data, job),
            transform,
            unlabelled=unlabelled_images(data, job),
            batch=job.training.batch,
            micro_batches=_micro_batches(job, fabric),
            rank=fabric.global_rank,
            world=fabric.world_size,
            seed=job.key.seed,
            workers=job.params.runtime.workers,
            pin_memory=fabric.device.type == "cuda",
        )
    except BatchSizeError as error:
        raise UserError(f"{job.training_block}.{error}") from error


def train_images(data: PreparedData, job: Job) -> Subset[Any]:
    """The training images that a run sees: all, or the subset that its parameters ask for."""
    split = data.split(TRAIN)
    return Subset(cast(Dataset[Any], split), chosen_images(len(split), job.training.subset))


def unlabelled_images(data: PreparedData, job: Job) -> Subset[Any] | None:
    """The training images that a student sees without their labels; None if it sees none.

    Raises:
        UserError: A number of them is asked for, and none is left. With ``all``, this is no error.
    """
    wanted = 0 if job.key.is_teacher else job.params.train.unlabelled
    split = data.split(TRAIN)
    if not wanted:
        return None
    images = other_images(len(split), job.training.subset, wanted)
    if not images and wanted != "all":
        raise UserError(
            f"train.unlabelled: no image is left for it, since train.subset is {job.training.subset} and "
            f"there are {len(split)} training images; lower train.subset, or set train.unlabelled to 0"
        )
    return Subset(cast(Dataset[Any], split), images) if images else None


def _micro_batches(job: Job, fabric: Fabric) -> int:
    """Forward passes per step and process that keep each within ``runtime.max_batch_per_device``.

    All are of equal size: the smallest number that divides the process's share of the batch.
    """
    share, rest = divmod(job.training.batch, fabric.world_size)
    largest = job.params.runtime.max_batch_per_device
    if not largest or rest:  # which TrainBatches refuses
        return 1
    return next(parts for parts in range(1, share + 1) if share % parts == 0 and share // parts <= largest)


def _schedule(job: Job, *, steps: int, fabric: Fabric) -> Schedule:
    training = job.training
    return Schedule(
        epochs=training.epochs,
        steps=steps,
        micro_batches=_micro_batches(job, fabric),
        lr=training.lr,
        poly_power=training.poly_power,
        warmup=training.warmup_epochs * steps,
        clip_norm=training.clip_norm,
        validate_every=training.validate_every,
        select=training.select,
        seed=job.key.seed,
    )


def _validation(data: PreparedData, job: Job, student: nn.Module, fabric: Fabric) -> Validate | None:
    if not data.has_validation:
        return None
    batches = EvalBatches(
        data.split(VALIDATION),
        partial(prepare, input_scale=job.params.images.input_scale),
        rank=fabric.global_rank,
        world=fabric.world_size,
    )

    def validate() -> dict[str, float]:
        counts = validation_confusion(
            student, batches, num_classes=job.params.data.classes, device=fabric.device
        )
        confusion = cast(torch.Tensor, fabric.all_reduce(counts, reduce_op="sum")).cpu().numpy()
        return {
            "miou": metrics.mean_iou(confusion),
            "pixel_accuracy": metrics.pixel_accuracy(confusion),
            "class_accuracy": metrics.mean_class_accuracy(confusion),
        }

    return validate
