import re

import numpy as np
import pytest
from PIL import Image
from tests.imports import ROOT
from tests.project import change, make_project, write_yaml

from icsd.data.prepared import PreparedData
from icsd.errors import UserError
from icsd.params import load_params, merge
from icsd.stages.dataset import dataset_in
from icsd.stages.download import download
from icsd.stages.preprocess import preprocess
from icsd.stages.validate import checked_params
from icsd.yaml_files import parse_yaml, read_yaml

DOCS = ROOT / "docs/datasets.md"


def block_of_docs():
    """The preset's block as docs/datasets.md shows it."""
    (text,) = re.findall(r"```yaml\n(data:\n.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return parse_yaml(text.encode(), DOCS)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the preset `mine`: the shapes' one with the block of the documentation."""
    folder = make_project(tmp_path / "project", dataset="mine", data={"source": str(tmp_path / "photos")})
    presets = folder / "configs/datasets"
    write_yaml(presets / "mine.yaml", read_yaml(presets / "shapes.yaml") | block_of_docs())
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


def photograph(folder, *, splits=("train", "val", "test"), number=4):
    """Images of many sizes, with masks that have the numbers of the documentation."""
    rng = np.random.default_rng(0)
    for split in splits:
        for index in range(number):
            size = int(rng.integers(32, 60)), int(rng.integers(32, 60))
            for kind, values in (
                ("images", rng.integers(0, 256, (*size, 3))),
                ("masks", rng.choice([0, 1, 2, 7, 255], size)),
            ):
                path = folder / split / kind / f"photo {index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(path)


def test_the_documentations_block_reads_a_folder_of_images_and_masks(project, tmp_path):
    photograph(tmp_path / "photos")
    download(project)
    preprocess(project)
    data = PreparedData(project / "data/mine/processed")
    assert {role: data.num_images(role) for role in data.splits} == {"train": 4, "validation": 4, "report": 4}
    assert data.split("train").classes == ("ground", "building", "vehicle")
    assert np.unique(data.split("report")[0][1]).tolist() == [0, 1, 2, 255]


def refused(project, **folder):
    preset = project / "configs/datasets/mine.yaml"
    write_yaml(preset, merge(read_yaml(preset), {"data": {"folder": folder}}))
    with pytest.raises(UserError) as caught:
        checked_params(project)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lists": "x.txt"}, "needs one of three: {split} in images, lists, or fractions"),
        ({"images": "images/*"}, "needs one of three"),
        ({"images": "{split}/images"}, "images must hold * or {stem}"),
        ({"masks": "{split}/masks/*"}, "masks must hold {stem}"),
        ({"ignore": [7]}, "7 stands for more than one class"),
        ({"ignore": [[1, 2, 3]]}, "must all be numbers, or all be colours"),
        ({"ignore": [256]}, "less than or equal to 255"),
        ({"classes": {"sky": 3}}, "data.classes: is 3, but folder has 4 classes"),
        ({"images": "images/*", "fractions": {"train": 0.9, "val": 0.2}}, "fractions add up to more than 1"),
        (
            {"images": "images/*", "fractions": {"train": 0.9}},
            "fractions: lacks test, val, which data.splits",
        ),
        ({"image": "x"}, "image: unknown key; did you mean 'images'?"),
    ],
)
def test_mistakes_in_the_block_are_named(project, changes, words):
    assert words in refused(project, **changes)


def test_every_reader_has_its_own_block(project):
    preset = project / "configs/datasets/mine.yaml"
    block = read_yaml(preset)
    write_yaml(preset, block | {"data": block["data"] | {"folder": None}})
    with pytest.raises(UserError, match=r"data\.folder: the reader `folder` needs it"):
        dataset_in(load_params(project).data)
    write_yaml(preset, block | {"data": block["data"] | {"reader": "fodler"}})
    with pytest.raises(UserError, match="no dataset 'fodler'; did you mean 'folder'"):
        dataset_in(load_params(project).data)
    change(project, dataset="shapes")
    assert dataset_in(load_params(project).data).name == "shapes"
