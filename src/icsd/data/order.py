"""The order of samples: a pure function of seed and epoch."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from icsd.core.seeds import seed_at

Coordinates = tuple[int, int]
"""Coordinates of a sample: the epoch in which it is seen (the pass, if it is unlabelled) and its index."""


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> list[int]:
    """The order in which an epoch visits the samples: a permutation given by seed and epoch alone."""
    rng = np.random.Generator(np.random.PCG64(seed_at(seed, "order", epoch)))
    order: list[int] = rng.permutation(num_samples).tolist()
    return order


def epoch_batches(
    num_samples: int, num_unlabelled: int, *, batch: int, seed: int, epoch: int
) -> Iterator[list[Coordinates]]:
    """Yield the global batches of an epoch over the labelled samples; an incomplete last batch is dropped.

    Without unlabelled samples, batch b is ``order[b * batch : (b + 1) * batch]``. Otherwise half of every
    batch (rounded down) is unlabelled, alternating with labelled samples. Unlabelled samples have their own
    order, which continues from epoch to epoch: each is seen once before any is seen twice.

    Args:
        num_samples: Number of labelled samples.
        num_unlabelled: Number of unlabelled samples, whose indices follow those of the labelled ones.
        batch: Size of a batch.
        seed: Seed of the orders.
        epoch: Epoch, from 0.
    """
    others = batch // 2 if num_unlabelled else 0
    own = batch - others
    order = epoch_order(num_samples, seed=seed, epoch=epoch)
    steps = num_samples // own
    turn = -1
    for step in range(steps):
        known = [(epoch, index) for index in order[step * own : (step + 1) * own]]
        unknown = []
        for place in range((epoch * steps + step) * others, (epoch * steps + step + 1) * others):
            if place // num_unlabelled != turn:
                turn = place // num_unlabelled
                order_of_others = epoch_order(num_unlabelled, seed=seed_at(seed, "unlabelled"), epoch=turn)
            unknown.append((turn, num_samples + order_of_others[place % num_unlabelled]))
        mixed = [each for pair in zip(known, unknown, strict=False) for each in pair]
        yield mixed + known[len(unknown) :]


class EpochSampler(Sampler[list[Coordinates]]):
    """Yields the coordinates of samples, one list per micro-batch of this process."""

    def __init__(
        self,
        num_samples: int,
        num_unlabelled: int,
        *,
        seed: int,
        batch: int,
        micro_batches: int,
        rank: int,
        world: int,
    ) -> None:
        self.epoch = 0
        self._num_samples = num_samples
        self._num_unlabelled = num_unlabelled
        self._seed = seed
        self._batch = batch
        self._micro_size = batch // (world * micro_batches)
        self._begin = rank * micro_batches * self._micro_size
        self._micro_batches = micro_batches

    def __len__(self) -> int:
        with_labels = self._batch - self._batch // 2 if self._num_unlabelled else self._batch
        return self._num_samples // with_labels * self._micro_batches

    def __iter__(self) -> Iterator[list[Coordinates]]:
        for batch in epoch_batches(
            self._num_samples,
            self._num_unlabelled,
            batch=self._batch,
            seed=self._seed,
            epoch=self.epoch,
        ):
            for micro in range(self._micro_batches):
                begin = self._begin + micro * self._micro_size
                yield batch[begin : begin + self._micro_size]
