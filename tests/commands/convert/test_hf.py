import sys

import numpy as np
import pytest
from PIL import Image
from tests.commands.new_dataset.folders import scene

from icsd.commands.convert.hf import convert_hf
from icsd.errors import UserError


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Writes rows of images as Parquet files of a dataset, and returns the folder."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()

    def write(columns=("image", "label"), splits=("train", "validation")):
        for split in splits:
            pairs = [scene(number) for number in range(3)]
            pictures = [
                [Image.fromarray(part.astype(np.uint8)) for part in parts]
                for parts in zip(*pairs, strict=True)
            ]
            rows = datasets.Dataset.from_dict(
                dict(zip(columns, pictures, strict=False)),
                features=datasets.Features(dict.fromkeys(columns, datasets.Image())),
            )
            rows.to_parquet(str(tmp_path / f"source/{split}-0.parquet"))
        return tmp_path / "source"

    (tmp_path / "source").mkdir()
    return write


def test_every_row_becomes_an_image_and_its_mask(source, tmp_path, capsys):
    convert_hf(str(source()), tmp_path / "out", image=None, mask=None)
    for split in ("train", "validation"):
        for number in range(3):
            pixels, label = scene(number)
            image = np.array(Image.open(tmp_path / f"out/{split}/images/{number}.png"))
            np.testing.assert_array_equal(image, pixels)
            np.testing.assert_array_equal(
                np.array(Image.open(tmp_path / f"out/{split}/masks/{number}.png")), label
            )
    assert "wrote train (3), validation (3)" in capsys.readouterr().out
    assert not (tmp_path / "out/classes.txt").exists()


def test_columns_may_be_given(source, tmp_path):
    folder = str(source(columns=("left", "right")))
    with pytest.raises(UserError, match="no column is recognised as the image; name it with --image"):
        convert_hf(folder, tmp_path / "out", image=None, mask=None)
    with pytest.raises(UserError, match="no image column is called rigth; image columns: left, right"):
        convert_hf(folder, tmp_path / "out", image="rigth", mask=None)
    convert_hf(folder, tmp_path / "out", image="left", mask="right")
    assert (tmp_path / "out/train/masks/2.png").is_file()


def test_what_cannot_be_loaded_is_named(source, tmp_path):
    (tmp_path / "source/train-0.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"source: `datasets` cannot load it"):
        convert_hf(str(tmp_path / "source"), tmp_path / "out", image=None, mask=None)


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="`datasets`, which is not installed: `uv sync --extra datasets`"):
        convert_hf("any", tmp_path / "out", image=None, mask=None)
