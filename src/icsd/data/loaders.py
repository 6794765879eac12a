"""Batches as a pure function of (seed, epoch), with no state to save and whatever the number of workers.

Worker processes are started once and kept. They receive ``(epoch, index)`` pairs, so the dataset in a worker
has no epoch of its own, and a sample's augmentation depends on its coordinates alone.
"""

import multiprocessing
import shutil
from collections.abc import Iterable, Iterator
from multiprocessing.context import BaseContext
from typing import Any, Protocol, TypedDict

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from icsd.core.labels import IGNORE, UNLABELLED, Pixels
from icsd.core.seeds import seed_at
from icsd.data.order import Coordinates, EpochSampler
from icsd.errors import UserError
from icsd.machine import cores

Images = Iterable[tuple[int, Tensor, Tensor]]
"""Triples of index, network input [1, 3, H, W] and labels [1, h, w] at their own size."""


class BatchSizeError(UserError):
    """Batches of this size are impossible. The caller puts ``train.`` or ``teacher.`` before the message."""


class Split(Protocol):
    """Picklable sequence of (image uint8 [H, W, 3], label uint8 [H, W])."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]: ...


class TrainTransform(Protocol):
    """E.g. ``functools.partial(augment, crop=(96, 96))``; must be picklable."""

    def __call__(
        self, image: Pixels, label: Pixels, /, *, seed: int
    ) -> tuple[Float[Tensor, "3 H W"], Int[Tensor, "H W"]]:
        """Image and label of one training view."""
        ...


class EvalTransform(Protocol):
    """E.g. ``functools.partial(prepare, input_scale=0.5)``; must be picklable."""

    def __call__(self, image: Pixels, /) -> Float[Tensor, "3 H W"]:
        """The network's input."""
        ...


class TrainBatches:
    """Training batches of this process: ``batches.epoch(3)`` yields ``(images, labels)`` micro-batches.

    The global batches are those of ``epoch_batches``. Process ``rank`` of ``world`` takes one contiguous
    part of each, as ``micro_batches`` contiguous pieces whose gradients are accumulated in a step. A sample
    does not depend on how a batch is divided.

    Args:
        split: Samples with labels.
        unlabelled: Samples used without their labels: every pixel of the image is ``UNLABELLED``.
        transform: Called with (image, label, seed=...).
        batch: Size of the global batch.
        micro_batches: Pieces per process.
        rank: Rank of this process.
        world: Number of processes.
        seed: Seed of order and augmentation.
        workers: Loader processes, kept from epoch to epoch; 0 loads in this process.
        pin_memory: Only useful if the batches go to a CUDA device.

    Raises:
        BatchSizeError: Fewer samples than a batch, or a batch that cannot be divided.
    """

    def __init__(
        self,
        split: Split,
        transform: TrainTransform,
        *,
        unlabelled: Split | None = None,
        batch: int,
        micro_batches: int = 1,
        rank: int = 0,
        world: int = 1,
        seed: int,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        num_unlabelled = len(unlabelled) if unlabelled is not None else 0
        with_labels = batch - batch // 2 if num_unlabelled else batch
        if len(split) < with_labels:
            of = f", {with_labels} of them with labels" if num_unlabelled else ""
            raise BatchSizeError(f"batch is {batch}{of}, but there are only {len(split)} training images")
        if batch % (world * micro_batches):
            raise BatchSizeError(
                f"batch is {batch}, which cannot be divided among {world} processes with "
                f"{micro_batches} micro-batches each: choose runtime settings whose product divides it"
            )
        self._sampler = EpochSampler(
            len(split),
            num_unlabelled,
            seed=seed,
            batch=batch,
            micro_batches=micro_batches,
            rank=rank,
            world=world,
        )
        self._loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            _TrainSamples(split, unlabelled, transform, seed),
            batch_sampler=self._sampler,
            pin_memory=pin_memory,
            **_workers(workers),
            generator=torch.Generator(),  # so that the loader's seeds do not use the global generator
        )
        self.steps_per_epoch = len(split) // with_labels

    def epoch(self, epoch: int) -> Iterator[tuple[Float[Tensor, "B 3 H W"], Int[Tensor, "B H W"]]]:
        """Yield the epoch's ``steps_per_epoch * micro_batches`` micro-batches."""
        self._sampler.epoch = epoch
        yield from _fetched(self._loader)


class EvalBatches:
    """Whole images for evaluation, one at a time: ``(index, image [1, 3, h, w], label [1, H, W])``.

    The label keeps its own size. Process ``rank`` of ``world`` sees indices rank, rank + world, …, so that
    exactly one process sees each sample.
    """

    def __init__(
        self,
        split: Split,
        transform: EvalTransform,
        *,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self._loader: DataLoader[tuple[int, Tensor, Tensor]] = DataLoader(
            _EvalSamples(split, transform),
            sampler=range(rank, len(split), world),
            batch_size=None,
            pin_memory=pin_memory,
            **_workers(workers),
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[int, Float[Tensor, "1 3 h w"], Int[Tensor, "1 H W"]]]:
        yield from _fetched(self._loader)


class _TrainSamples(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, split: Split, unlabelled: Split | None, transform: TrainTransform, seed: int) -> None:
        self._split = split
        self._unlabelled = unlabelled
        self._transform = transform
        self._seed = seed

    def __getitem__(self, coordinates: Coordinates) -> tuple[Tensor, Tensor]:
        seed = seed_at(self._seed, "augment", *coordinates)
        index = coordinates[1]
        if self._unlabelled is None or index < len(self._split):
            image, label = self._split[index]
            return self._transform(image, label, seed=seed)
        image, label = self._unlabelled[index - len(self._split)]
        view, blank = self._transform(image, np.zeros_like(label), seed=seed)
        return view, blank.where(blank == IGNORE, UNLABELLED)  # padding stays ignored


class _EvalSamples(Dataset[tuple[int, Tensor, Tensor]]):
    def __init__(self, split: Split, transform: EvalTransform) -> None:
        self._split = split
        self._transform = transform

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor]:
        image, label = self._split[index]
        return index, self._transform(image)[None], torch.from_numpy(label).long()[None]


def _fetched(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield the loader's batches; errors of a worker process become messages about params.yaml."""
    try:
        yield from loader
    except UserError as error:  # torch puts the worker's traceback into the message
        raise UserError(str(error).rsplit("UserError: ", 1)[-1].strip()) from error
    except (RuntimeError, OSError) as error:
        if not loader.num_workers or not any(sign in str(error) for sign in _LOST_WORKER):
            raise
        raise UserError(
            "runtime.workers: a loader process was lost, mostly for want of shared memory "
            f"({_shared_memory()}): set runtime.workers to 0, which gives the same result, or enlarge it "
            "(`docker run --shm-size=8g`)"
        ) from error


_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only its size is read
_LOST_WORKER = ("DataLoader worker (pid", "shared memory", "No space left on device", "unable to open shared")


def _shared_memory() -> str:
    try:
        usage = shutil.disk_usage(_SHARED_MEMORY)
    except OSError:
        return f"there is no {_SHARED_MEMORY}"
    return f"{_SHARED_MEMORY} has {usage.free / 1e6:.0f} of {usage.total / 1e6:.0f} MB free"


class _Workers(TypedDict):
    num_workers: int
    persistent_workers: bool
    multiprocessing_context: BaseContext | None


def _workers(wanted: int) -> _Workers:
    """The loader's options for worker processes: at most one per core, since more only slow loading down.

    Workers are not forked from this process, because its threads (tracking, CUDA) do not survive a fork.
    """
    number = min(wanted, cores())
    return _Workers(
        num_workers=number,
        persistent_workers=number > 0,
        multiprocessing_context=_worker_context() if number else None,
    )


def _worker_context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", __name__, "icsd.data.transforms"]
    )  # imported once, not per worker
    return context
