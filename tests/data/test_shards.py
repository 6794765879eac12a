import hashlib
import pickle

import numpy as np
import pytest

from icsd.data.manifest import write_manifest
from icsd.data.prepared import PreparedData
from icsd.data.shards import ShardedSplit, write_shards
from icsd.errors import UserError

SIZES = [(4, 6), (5, 3), (7, 7), (1, 9)]


def records():
    for number, (height, width) in enumerate(SIZES):
        rng = np.random.default_rng(number)
        label = rng.choice(np.array([0, 2, 255], dtype=np.uint8), (height, width))
        yield f"id{number}", rng.integers(0, 256, (height, width, 3), dtype=np.uint8), label


@pytest.fixture
def folder(tmp_path):
    split = write_shards(tmp_path, "train", records(), num_classes=3, shard_bytes=120)
    write_manifest(tmp_path, "made", ["a", "b", "c"], {"train": split})
    return tmp_path


def test_samples_of_any_size_come_back_as_they_were(folder):
    split = ShardedSplit(folder, "train")
    assert len(split) == 4
    assert split.ids == ("id0", "id1", "id2", "id3")
    for (_, image, label), (read_image, read_label) in zip(
        records(), (split[index] for index in range(len(split))), strict=True
    ):
        np.testing.assert_array_equal(read_image, image)
        np.testing.assert_array_equal(read_label, label)


def test_a_new_shard_begins_when_one_is_full(folder):
    assert sorted(path.name for path in folder.glob("*.labels")) == [
        "train-00000.labels",
        "train-00001.labels",
    ]


def test_counts_are_those_of_the_labels(folder):
    manifest = ShardedSplit(folder, "train").manifest
    pixels = np.concatenate([label.reshape(-1) for _, _, label in records()])
    assert manifest.class_pixels == tuple(int((pixels == number).sum()) for number in range(3))
    assert manifest.ignored_pixels == int((pixels == 255).sum())
    assert manifest.class_images[1] == 0
    assert manifest.illegal_pixels == {}


def test_label_values_that_are_no_class_are_counted(tmp_path):
    label = np.array([[0, 3, 254, 254]], dtype=np.uint8)
    record = ("x", np.zeros((1, 4, 3), dtype=np.uint8), label)
    assert write_shards(tmp_path, "s", [record], num_classes=3).illegal_pixels == {"3": 1, "254": 2}


def test_the_digest_of_the_labels_does_not_depend_on_the_shards(tmp_path):
    digests = set()
    for shard_bytes in (1, 100, 10**9):
        split = write_shards(tmp_path, "s", records(), num_classes=3, shard_bytes=shard_bytes)
        digests.add(split.labels_sha256)
    assert digests == {hashlib.sha256(b"".join(label.tobytes() for _, _, label in records())).hexdigest()}


def test_a_split_can_be_sent_to_a_worker_after_use(folder):
    split = ShardedSplit(folder, "train")
    image, _ = split[2]
    content = pickle.dumps(split)
    assert len(content) < 5000
    np.testing.assert_array_equal(pickle.loads(content)[2][0], image)  # noqa: S301 - what this test pickled


def test_what_is_read_may_be_changed_without_changing_the_file(folder):
    split = ShardedSplit(folder, "train")
    split[0][0][:] = 0
    assert split[0][0].any()


def test_an_index_beyond_the_end_ends_iteration(folder):
    with pytest.raises(IndexError):
        ShardedSplit(folder, "train")[4]


@pytest.mark.parametrize("name", ["train-00001.images", "train-00000.labels"])
def test_a_truncated_shard_is_named_at_once(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(UserError, match=name):
        ShardedSplit(folder, "train")


def test_a_changed_byte_is_found_by_verify(folder):
    split = ShardedSplit(folder, "train")
    split.verify()
    content = bytearray((folder / "train-00001.labels").read_bytes())
    content[-1] ^= 1
    (folder / "train-00001.labels").write_bytes(content)
    words = r"train-00001\.labels is not what preprocess wrote.*`dvc repro -f -s preprocess`"
    with pytest.raises(UserError, match=words):
        split.verify()
    with pytest.raises(UserError, match=words):
        PreparedData(folder).split("train")


def test_an_unknown_split_lists_the_known_ones(folder):
    with pytest.raises(UserError, match="no split 'val'; it has train"):
        ShardedSplit(folder, "val")
