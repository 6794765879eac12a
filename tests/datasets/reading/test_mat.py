import io
import random
import zlib
from contextlib import suppress

import numpy as np
import pytest
from scipy.io import savemat

from icsd.datasets.reading.mat import read_matrix

IDS = np.random.default_rng(0).integers(0, 21, (37, 50))


def saved(numbers: np.ndarray, *, compressed: bool = True) -> bytes:
    """A file like SBD's: the mask among other things, of which one is larger."""
    boundaries = np.empty(20, dtype=object)
    boundaries[:] = [np.eye(3)] * 20
    content = {"Boundaries": boundaries, "Segmentation": numbers, "CategoriesPresent": np.arange(3)}
    stream = io.BytesIO()
    savemat(stream, {"other": np.arange(5), "GTcls": content}, do_compression=compressed)
    return stream.getvalue()


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, np.int64, np.float32, np.float64])
def test_the_matrix_comes_back_whatever_type_its_numbers_have(dtype, compressed):
    content = saved(IDS.astype(dtype), compressed=compressed)
    np.testing.assert_array_equal(read_matrix(content, "GTcls", "Segmentation"), IDS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (3, 1)])
def test_matrices_of_a_few_bytes_are_stored_in_another_way(shape):
    numbers = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(read_matrix(saved(numbers), "GTcls", "Segmentation"), numbers)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no MATLAB file"),
        (b"MATLAB nothing" + bytes(200), "no MATLAB file"),
        (saved(IDS, compressed=False).replace(b"GTcls", b"GTxxx"), "holds no GTcls"),
        (saved(IDS, compressed=False).replace(b"Segmentation", b"segmentation"), "holds no Segmentation"),
        (saved(IDS)[:600], "cut off"),
    ],
)
def test_what_is_missing_is_named(content, words):
    with pytest.raises(ValueError, match=words):
        read_matrix(content, "GTcls", "Segmentation")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_file_ends_soon_and_well(compressed):
    rng, content = random.Random(0), saved(IDS[:9, :9].astype(np.uint8), compressed=compressed)
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            position = rng.randrange(len(damaged))
            damaged[position : position + 4] = rng.choice([b"\xff\xff\xff\x7f", bytes(4), rng.randbytes(1)])
        with suppress(ValueError, zlib.error):
            end = rng.choice([len(damaged), rng.randrange(9999)])
            read_matrix(bytes(damaged[:end]), "GTcls", "Segmentation")
