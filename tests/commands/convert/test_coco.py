import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from tests.commands.new_dataset.folders import save, write_json

from icsd.commands.convert.coco import convert_coco
from icsd.errors import UserError

HEIGHT, WIDTH = 10, 12


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(mask):
    """COCO's uncompressed RLE: lengths of runs down the columns, beginning with zeros."""
    flat = mask.T.reshape(-1)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    counts = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": counts if not flat[0] else [0, *counts]}


CROWD = np.zeros((HEIGHT, WIDTH), int)
CROWD[8:, :] = 1


def instances(**changes):
    return {
        "images": [
            {"id": 7, "file_name": "train/a b.jpg", "height": HEIGHT, "width": WIDTH},
            {"id": 9, "file_name": "empty.JPG", "height": HEIGHT, "width": WIDTH},
        ],
        "categories": [{"id": 44, "name": "car"}, {"id": 3, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [box(4, 4, 6, 6)], "area": 4},
            {"id": 2, "image_id": 7, "category_id": 44, "segmentation": [box(2, 2, 10, 9)], "area": 56},
            {"id": 3, "image_id": 7, "category_id": 3, "segmentation": run_lengths(CROWD), "iscrowd": 1},
            {"id": 4, "image_id": 7, "category_id": 3, "segmentation": []},
        ],
    } | changes


@pytest.fixture
def place(tmp_path):
    save(tmp_path / "images/a b.jpg", np.zeros((HEIGHT, WIDTH, 3)))
    save(tmp_path / "images/empty.JPG", np.zeros((HEIGHT, WIDTH, 3)), format="JPEG")
    write_json(tmp_path / "coco.json", instances())
    return tmp_path


def convert(place, *, split=None, out="out"):
    convert_coco(place / "coco.json", place / "images", place / out, split=split)


def test_instances_become_one_mask_with_crowds_below_and_small_ones_on_top(place):
    convert(place)
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[8:] = 1  # the crowd of persons
    expected[2:9, 2:10] = 2  # the car
    expected[4:6, 4:6] = 1  # a person before the car
    np.testing.assert_array_equal(np.array(Image.open(place / "out/masks/a b.png")), expected)
    assert not np.array(Image.open(place / "out/masks/empty.png")).any()
    assert (place / "out/classes.txt").read_text(encoding="utf-8") == "background\nperson\ncar\n"
    assert (place / "out/images/a b.jpg").read_bytes() == (place / "images/a b.jpg").read_bytes()


def test_parts_lie_beside_one_another_and_share_their_classes(place):
    convert(place, split="train")
    convert(place, split="val")
    assert (place / "out/val/masks/empty.png").is_file()
    assert (place / "out/classes.txt").is_file()
    write_json(place / "coco.json", instances(categories=[{"id": 3, "name": "a"}, {"id": 44, "name": "b"}]))
    with pytest.raises(UserError, match=r"classes\.txt: has other classes"):
        convert(place, split="test")


def test_nothing_that_is_there_is_replaced(place):
    convert(place)
    with pytest.raises(UserError, match="out: already exists"):
        convert(place)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a COCO instances file: it lacks images, annotations, categories"),
        (json.dumps(instances(categories=[])), "has no categories"),
        (json.dumps(instances(images=[{"file_name": "a"}])), "an entry lacks 'id'"),
        (
            json.dumps(instances(images=[{"id": 7, "file_name": "a b.jpg"}])),
            "images without height and width, or with more than 89,478,485 pixels: 7",
        ),
        (
            json.dumps(instances(images=[{"id": 7, "height": 10**9, "width": 10**9}])),
            "or with more than 89,478,485 pixels: 7",
        ),
        (
            json.dumps(instances(annotations=[{"id": 5, "image_id": 1, "category_id": 3}])),
            "annotations refer to images or categories that are missing: 5",
        ),
        (
            json.dumps(
                instances(annotations=[{"id": 5, "image_id": 7, "category_id": 3, "segmentation": [[1]]}])
            ),
            "the segmentation of annotation 5 cannot be read",
        ),
        (
            json.dumps(instances(images=[{"id": 7, "file_name": "gone.jpg", "height": 1, "width": 1}])),
            "1 of 1 images are missing: gone.jpg",
        ),
    ],
)
def test_a_damaged_file_is_named(place, content, words):
    if "gone" in content:
        content = content.replace(json.dumps(instances()["annotations"]), "[]")
    (place / "coco.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        convert(place)
    assert words in str(caught.value)
    assert not (place / "out").exists()


def test_a_file_that_is_not_there_is_named(place):
    (place / "coco.json").unlink()
    with pytest.raises(UserError, match=r"coco\.json: cannot be read \(No such file"):
        convert(place)


def test_two_images_of_one_name_are_named(place):
    (place / "images/b").mkdir()
    shutil.copy(place / "images/empty.JPG", place / "images/b/empty.JPG")
    images = [
        {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for number, name in enumerate(("empty.JPG", "b/empty.JPG"))
    ]
    write_json(place / "coco.json", instances(images=images, annotations=[]))
    with pytest.raises(UserError, match="several images have the same name: empty"):
        convert(place)


def test_the_extra_is_named_where_it_is_missing(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(UserError, match="pycocotools, which is not installed: `uv sync --extra coco`"):
        convert(place)
