"""Files of arrays: reading gives back exactly what was written, or an error."""

import random
import zipfile

import numpy as np
import pytest

from icsd.arrays import Layout, read_arrays, write_arrays
from icsd.errors import UserError

ARRAYS = {"confusion": np.arange(18).reshape(2, 3, 3), "ids": np.array(["0001", "0002"])}
LAYOUT: Layout = {"confusion": ("integer", 3), "ids": ("text", 1)}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "results/shapes/kd/resnet18-0/confusion.npz"
    write_arrays(file, ARRAYS)
    return file


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_arrays_come_back_as_they_were_and_equal_arrays_are_equal_bytes(path, tmp_path):
    assert same(read_arrays(path), ARRAYS)
    assert read_arrays(path, {"ids": ("text", 1)}).keys() == {"ids"}
    write_arrays(tmp_path / "again.npz", ARRAYS)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_an_array_that_is_missing_is_named_with_what_to_do(path):
    with pytest.raises(
        UserError, match="array ics is missing; `dvc checkout -f results/shapes/kd/resnet18-0/"
    ):
        read_arrays(path, {"ics": ("real", 2)})


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"confusion": ("real", 3)}, "array confusion is int64 with 3 axes, not real with 3"),
        ({"confusion": ("integer", 2)}, "array confusion is int64 with 3 axes, not integer with 2"),
        ({"ids": ("integer", 1)}, "array ids is <U4 with 1 axes, not integer with 1"),
    ],
)
def test_an_array_of_another_kind_is_refused(path, layout, said):
    with pytest.raises(UserError, match=said):
        read_arrays(path, layout)


def test_no_file_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "a.npz")


def test_a_changed_bit_is_found_or_changes_nothing(path):
    """Every byte in turn; what is left to chance in a zip file are its dates and the like."""
    content, rng, messages = path.read_bytes(), random.Random(0), []
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert same(read_arrays(path, LAYOUT), ARRAYS)
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > len(content) / 2
    assert all(message.startswith(f"{path}: ") for message in messages)
    assert all("dvc repro -f -s --glob 'evaluate_*@kd'" in message for message in messages)


@pytest.mark.parametrize("length", [0, 1, 30, 200, -1])
def test_a_cut_file_is_found(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="not a readable npz file"):
        read_arrays(path)


def test_an_array_of_objects_is_not_loaded(path):
    np.savez(path, confusion=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="not a readable npz file"):
        read_arrays(path)


def test_a_member_that_is_no_array_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("confusion.npy", b"not what numpy writes")
    for layout in (None, LAYOUT):
        with pytest.raises(UserError, match="confusion is no array"):
            read_arrays(path, layout)
