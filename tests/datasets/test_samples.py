import warnings

import numpy as np
from PIL import Image

from icsd.datasets.base import Sample
from icsd.datasets.camvid import CamVid
from icsd.datasets.doctor import Decoded
from icsd.datasets.samples import records_of


class Warned(CamVid):
    """CamVid whose masks make the decoder warn."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read_numbers(self, sample: Sample) -> np.ndarray:
        warnings.warn_explicit(self.text, UserWarning, "x.py", 1, module="PIL.TiffImagePlugin")
        return super().read_numbers(sample)


def read(make, dataset, **files):
    tree = {"i.png": make.picture(0), "l.png": make.mask([0, 11])} | files
    root = make.folder({name.replace("_", "."): content for name, content in tree.items()})
    decoded = Decoded()
    samples = [Sample(f"s{number}", root / "i.png", root / "l.png") for number in range(5)]
    return list(records_of(dataset, samples, decoded=decoded, threads=2)), decoded


def test_numbers_become_train_ids_and_are_counted_as_they_were(make):
    records, decoded = read(make, CamVid())
    assert [id_ for id_, _, _ in records] == [f"s{number}" for number in range(5)]
    assert np.unique(records[0][2]).tolist() == [0, 255]
    assert {number: int(decoded.numbers[number]) for number in np.flatnonzero(decoded.numbers)} == {
        0: 120,
        11: 120,
    }


def test_both_files_of_a_sample_are_named_when_both_are_bad(make):
    records, decoded = read(make, CamVid(), i_png=b"", l_png=b"x")
    assert records == []
    assert any("image i.png" in text for text in decoded.problems)
    assert any("label l.png" in text for text in decoded.problems)


def test_what_the_decoder_doubts_is_not_used(make):
    records, decoded = read(make, Warned("Truncated File Read"))
    assert records == []
    assert decoded.problems[0] == "cannot read label l.png: the decoder warns: Truncated File Read"


def test_remarks_on_what_surrounds_the_pixels_are_kept(make):
    records, decoded = read(make, Warned("Corrupt EXIF data. Expecting to read 4 bytes"))
    assert len(records) == 5
    assert decoded.problems == []
    assert decoded.remarks[0] == "label l.png (Corrupt EXIF data. Expecting to read 4 bytes)"


def test_images_whose_masks_would_fit_unturned_too_are_noted(make, tmp_path):
    root = make.folder({"l.png": make.mask([0, 1])})
    for name, orientation in (("up", 1), ("half", 3), ("quarter", 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        size = (6, 8) if orientation == 6 else (8, 6)
        Image.new("RGB", size).save(root / f"{name}.png", exif=exif)
    samples = [Sample(name, root / f"{name}.png", root / "l.png") for name in ("up", "half", "quarter")]
    decoded = Decoded()
    assert len(list(records_of(CamVid(), samples, decoded=decoded, threads=2))) == 3
    assert decoded.turned == ["half"]
