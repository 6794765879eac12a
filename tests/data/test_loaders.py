from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from icsd.data.loaders import EvalBatches, TrainBatches
from icsd.data.manifest import write_manifest
from icsd.data.order import epoch_order
from icsd.data.shards import ShardedSplit, write_shards
from icsd.data.transforms import augment, prepare
from icsd.errors import UserError

TRANSFORM = partial(augment, crop=(12, 12), colour=0.2)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Eleven samples whose label holds their own number."""
    folder = tmp_path_factory.mktemp("shards")
    records = (
        (
            f"id{number}",
            np.random.default_rng(number).integers(0, 256, (10 + number % 3, 14, 3), dtype=np.uint8),
            np.full((10 + number % 3, 14), number, dtype=np.uint8),
        )
        for number in range(11)
    )
    manifest = write_shards(folder, "train", records, num_classes=11)
    write_manifest(folder, "made", [str(number) for number in range(11)], {"train": manifest})
    return ShardedSplit(folder, "train")


def batches(split, epoch=0, **options):
    return list(TrainBatches(split, TRANSFORM, **{"batch": 4, "seed": 7} | options).epoch(epoch))


def numbers(found):
    """The sample numbers of micro-batches."""
    return [[int(label[label != 255][0]) for label in labels] for _, labels in found]


def test_batches_follow_the_order_and_drop_the_incomplete_last(split):
    order = epoch_order(11, seed=7, epoch=2)
    assert numbers(batches(split, 2)) == [order[:4], order[4:8]]


def test_what_is_seen_without_labels_has_its_image_and_none_of_its_labels(split):
    known, unknown = Subset(split, range(4)), Subset(split, range(4, 11))
    own = TrainBatches(known, TRANSFORM, unlabelled=unknown, batch=4, seed=7)
    assert own.steps_per_epoch == 2
    for images, labels in own.epoch(1):
        assert set(labels[::2].unique().tolist()) <= {0, 1, 2, 3, 255}
        assert set(labels[1::2].unique().tolist()) == {-1, 255}  # crops of 12 from 10 rows are padded
        assert torch.equal(labels[1::2] == 255, images[1::2].eq(0).all(dim=1))
    everything = [labels for epoch in range(9) for _, labels in own.epoch(epoch)]
    assert not any((labels > 3).logical_and(labels < 255).any() for labels in everything)


@pytest.mark.parametrize(("world", "micro_batches"), [(1, 2), (2, 1), (2, 2)])
def test_a_batch_with_unlabelled_samples_is_divided_like_any_other(split, world, micro_batches):
    known, unknown = Subset(split, range(4)), Subset(split, range(4, 11))
    options = {"unlabelled": unknown, "batch": 4}
    whole = batches(known, 1, **options)
    parts = [
        batches(known, 1, world=world, rank=rank, micro_batches=micro_batches, **options)
        for rank in range(world)
    ]
    for step, (images, labels) in enumerate(whole):
        pieces = [part[step * micro_batches + micro] for part in parts for micro in range(micro_batches)]
        assert torch.equal(torch.cat([piece[0] for piece in pieces]), images)
        assert torch.equal(torch.cat([piece[1] for piece in pieces]), labels)


def test_too_few_labelled_samples_for_half_a_batch_are_named(split):
    with pytest.raises(UserError, match="batch is 8, 4 of them with labels, but there are only 3 training"):
        TrainBatches(Subset(split, range(3)), TRANSFORM, unlabelled=split, batch=8, seed=0)


def test_shapes_and_types(split):
    images, labels = batches(split)[0]
    assert images.shape == (4, 3, 12, 12)
    assert labels.shape == (4, 12, 12)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize(("world", "micro_batches"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_processes_and_micro_batches_divide_the_same_global_batch(split, world, micro_batches):
    whole = batches(split, 3)
    parts = [batches(split, 3, world=world, rank=rank, micro_batches=micro_batches) for rank in range(world)]
    for step, (images, _) in enumerate(whole):
        pieces = [part[step * micro_batches + micro][0] for part in parts for micro in range(micro_batches)]
        assert torch.equal(torch.cat(pieces), images)


def test_workers_change_nothing_and_are_kept_between_epochs(split):
    own, other = (TrainBatches(split, TRANSFORM, batch=4, seed=7, workers=workers) for workers in (0, 2))
    for epoch in (0, 5, 0):
        for (images, labels), (other_images, other_labels) in zip(
            own.epoch(epoch), other.epoch(epoch), strict=True
        ):
            assert torch.equal(images, other_images)
            assert torch.equal(labels, other_labels)


def test_an_epoch_left_early_does_not_leak_into_the_next(split):
    loader = TrainBatches(split, TRANSFORM, batch=4, seed=7)
    next(loader.epoch(0))
    assert numbers(loader.epoch(1)) == numbers(batches(split, 1))


def test_an_epoch_does_not_depend_on_those_before(split):
    loader = TrainBatches(split, TRANSFORM, batch=4, seed=7)
    list(loader.epoch(0))
    for (images, _), (fresh, _) in zip(loader.epoch(1), batches(split, 1), strict=True):
        assert torch.equal(images, fresh)


def test_a_sample_looks_different_in_every_epoch(split):
    views: dict[tuple[int, int], torch.Tensor] = {}
    for epoch in (0, 1):
        for (images, _), names in zip(found := batches(split, epoch), numbers(found), strict=True):
            views |= {(epoch, name): image for image, name in zip(images, names, strict=True)}
    shared = [name for epoch, name in views if epoch == 0 and (1, name) in views]
    assert shared
    assert not any(torch.equal(views[0, name], views[1, name]) for name in shared)


def test_the_global_generator_is_not_touched(split):
    before = torch.get_rng_state()
    batches(split)
    list(EvalBatches(split, prepare))
    assert torch.equal(torch.get_rng_state(), before)


def test_steps_per_epoch_counts_global_batches(split):
    assert TrainBatches(split, TRANSFORM, batch=4, seed=7, micro_batches=2).steps_per_epoch == 2


def test_too_few_samples_for_a_batch(split):
    with pytest.raises(UserError, match=r"^batch is 12, but there are only 11"):
        batches(split, batch=12)


def test_a_batch_that_cannot_be_divided(split):
    with pytest.raises(UserError, match="2 processes with 3 micro-batches"):
        batches(split, world=2, micro_batches=3)


def test_evaluation_sees_whole_images_in_order_at_their_own_size(split):
    for position, (index, image, label) in enumerate(EvalBatches(split, partial(prepare, input_scale=0.5))):
        assert index == position
        assert label.shape == (1, 10 + index % 3, 14)
        assert image.shape == (1, 3, round((10 + index % 3) / 2), 7)
        assert (label == index).all()


def test_processes_share_evaluation_without_doubles(split):
    shares = [[index for index, _, _ in EvalBatches(split, prepare, rank=rank, world=3)] for rank in range(3)]
    assert shares == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8]]
    assert [len(EvalBatches(split, prepare, rank=rank, world=3)) for rank in range(3)] == [4, 4, 3]


def test_evaluation_with_workers_is_the_same(split):
    own, other = (list(EvalBatches(split, prepare, workers=workers)) for workers in (0, 2))
    assert [index for index, _, _ in other] == list(range(11))
    assert all(torch.equal(one[1], two[1]) for one, two in zip(own, other, strict=True))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly"),
        RuntimeError(
            "Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared memory(shm)"
        ),
        OSError(28, "No space left on device"),
    ],
    ids=["lost", "no memory", "no semaphore"],
)
def test_a_lost_loader_process_is_told_with_the_parameter(split, monkeypatch, error):
    def fail(loader):
        raise error

    monkeypatch.setattr(DataLoader, "__iter__", fail)
    train = TrainBatches(split, TRANSFORM, batch=4, seed=0, workers=1)
    for loaded in (train.epoch(0), EvalBatches(split, prepare, workers=1)):
        with pytest.raises(UserError, match=r"runtime\.workers: .*/dev/shm.*--shm-size"):
            list(loaded)


def test_an_error_of_ours_keeps_its_type(split, monkeypatch):
    def fail(loader):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(DataLoader, "__iter__", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(EvalBatches(split, prepare, workers=1))


class Damaged:
    """A split whose images are damaged."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        raise UserError("train-00000.images is cut off")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_users_error_in_a_loader_process_is_one_sentence(workers):
    loaded = TrainBatches(Damaged(), TRANSFORM, batch=4, seed=0, workers=workers)
    with pytest.raises(UserError, match=r"^train-00000\.images is cut off$"):
        list(loaded.epoch(0))
