from typing import Any

import numpy as np
import pytest
from PIL import Image

from icsd.data.shards import ShardedSplit
from icsd.datasets.fetch.choosing import resolve_source
from icsd.datasets.fetch.download import download
from icsd.datasets.folder import Folder
from icsd.datasets.preparation import preprocess
from icsd.errors import UserError

ROLES = {"train": "train", "report": "test"}
SPLITS = ("train", "test")
NUMBERS = {"ground": (0,), "building": (1, 2), "vehicle": (7,)}
COLOURS = {"ground": ((0, 0, 0),), "building": ((200, 0, 0), (0, 200, 0)), "vehicle": ((0, 0, 200),)}
IN_FOLDERS: dict[str, Any] = {"images": "{split}/images/*", "masks": "{split}/masks/{stem}.png"}
FLAT: dict[str, Any] = {"images": "images/*", "masks": "masks/{stem}.png"}


@pytest.fixture
def prepared(make):
    """Reads a tree as a dataset and returns the folder of the shards, with the doctor's findings."""

    def prepare(tree, dataset, *, name="mine"):
        source = resolve_source_of(make.folder(tree, name), dataset)
        download(dataset, sources=source, destination=make.root / "raw")
        findings = preprocess(dataset, make.root / "raw", make.root / "out", splits=ROLES)
        return make.root / "out", findings

    return prepare


def resolve_source_of(folder, dataset):
    return resolve_source(dataset, str(folder), [])


def in_folders(make, values=(0, 1, 2, 7, 255)):
    tree = {}
    for number, split in enumerate(("train", "train", "test")):
        tree[f"Data/{split}/images/a b.{number}.jpg"] = make.picture(number)
        tree[f"Data/{split}/masks/a b.{number}.png"] = make.mask([*values])
    return tree


def flat(make, num_images=3):
    tree = {}
    for number in range(num_images):
        tree[f"images/i{number}.PNG"] = make.picture(number)
        tree[f"masks/i{number}.png"] = make.mask([0, 1, 2, 7])
    return tree


def test_folders_say_what_a_split_is_and_several_numbers_are_one_class(make, prepared):
    dataset = Folder(**IN_FOLDERS, meaning=NUMBERS, ignored=(255,), splits=SPLITS)
    out, findings = prepared(in_folders(make), dataset)
    train = ShardedSplit(out, "train")
    assert train.ids == ("a b.0", "a b.1")
    assert train.classes == ("ground", "building", "vehicle")
    assert train[0][1][0, :5].tolist() == [0, 1, 1, 2, 255]
    assert ShardedSplit(out, "report").ids == ("a b.2",)
    assert findings.warnings == ()


def test_lists_say_what_a_split_is(make, prepared):
    tree = flat(make) | {
        "lists/TRAIN.txt": b"i2.png\r\ni0\r\n",
        "lists/test.txt": b"images/i1.png masks/i1.png",
    }
    dataset = Folder(**FLAT, lists="lists/{split}.txt", meaning=NUMBERS, splits=SPLITS)
    out, _ = prepared(tree, dataset)
    assert ShardedSplit(out, "train").ids == ("i0", "i2")
    assert ShardedSplit(out, "report").ids == ("i1",)


def test_a_listed_image_that_is_missing_is_named(make, prepared):
    tree = flat(make) | {"train.txt": b"i0\ngone\n", "test.txt": b"i1"}
    dataset = Folder(**FLAT, lists="{split}.txt", meaning=NUMBERS, splits=SPLITS)
    with pytest.raises(UserError, match=r"cannot read image gone.*images/ holds no such file"):
        prepared(tree, dataset)


def test_a_split_without_its_list_is_named(make, prepared):
    dataset = Folder(**FLAT, lists="{split}.txt", meaning=NUMBERS, splits=SPLITS)
    with pytest.raises(UserError, match=r"report: there are 0 files like \{split\}\.txt for test"):
        prepared(flat(make) | {"train.txt": b"i0"}, dataset)


def test_fractions_depend_on_seed_and_name_alone(make):
    def splits(num_images, seed):
        root = make.folder({f"images/i{n}.png": b"" for n in range(num_images)}, f"f{num_images}")
        dataset = Folder(
            **FLAT, fractions={"train": 0.75, "test": 0.25}, seed=seed, meaning=NUMBERS, splits=SPLITS
        )
        return [{sample.id for sample in dataset.samples(root, split)} for split in SPLITS]

    (train, test), (more_train, more_test) = splits(200, 0), splits(220, 0)
    assert train | test == {f"i{n}" for n in range(200)}
    assert not train & test
    assert 130 < len(train) < 170
    assert train <= more_train
    assert test <= more_test
    assert splits(200, 1) != [train, test]


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_classes_may_be_colours(make, prepared, mode):
    values = np.array(
        [[0, 0, 0], [200, 0, 0], [0, 200, 0], [0, 0, 200], [255, 255, 255], [0, 0, 0]], np.uint8
    )
    mask = Image.fromarray(np.tile(values[:, None], (1, 8, 1)))
    (mask.quantize(8) if mode == "P" else mask.convert(mode)).save(make.root / "m.png")
    tree = in_folders(make)
    tree |= dict.fromkeys([name for name in tree if "masks" in name], (make.root / "m.png").read_bytes())
    dataset = Folder(**IN_FOLDERS, meaning=COLOURS, ignored=((255, 255, 255),), splits=SPLITS)
    out, _ = prepared(tree, dataset)
    assert ShardedSplit(out, "train")[0][1][:, 0].tolist() == [0, 1, 1, 2, 255, 0]
    assert dataset.palette == ((0, 0, 0), (200, 0, 0), (0, 0, 200))


def test_colours_that_are_no_class_are_named_with_their_pixels(make, prepared):
    dataset = Folder(**IN_FOLDERS, meaning=COLOURS, splits=SPLITS)
    tree = in_folders(make) | {"Data/train/masks/a b.0.png": make.png(np.full((6, 8, 3), 9, np.uint8))}
    with pytest.raises(
        UserError, match=r"a b\.0\.png holds colours that are no class: \(9, 9, 9\) in 48 pixels"
    ):
        prepared(tree, dataset)


def test_numbers_that_are_no_class_are_named(make, prepared):
    dataset = Folder(**IN_FOLDERS, meaning=NUMBERS, splits=SPLITS)
    with pytest.raises(UserError, match=r"train: label values that are no class: 9 \(.*looked for 0 to 7"):
        prepared(in_folders(make, (0, 1, 7, 9)), dataset)


@pytest.mark.parametrize("bits", [1, 8])
def test_black_and_white_masks_are_two_classes(make, prepared, bits):
    mask = Image.fromarray(np.resize(np.array([0, 255], np.uint8), (6, 8)))
    (mask.convert("1") if bits == 1 else mask).save(make.root / "m.png")
    tree = in_folders(make)
    tree |= dict.fromkeys([name for name in tree if "masks" in name], (make.root / "m.png").read_bytes())
    out, findings = prepared(tree, Folder(**IN_FOLDERS, meaning={"no": (0,), "yes": (255,)}, splits=SPLITS))
    assert np.unique(ShardedSplit(out, "train")[0][1]).tolist() == [0, 1]
    assert findings.warnings == ()


def test_images_without_a_mask_are_an_error_or_unlabelled(make, prepared):
    tree = in_folders(make)
    del tree["Data/train/masks/a b.1.png"]
    with pytest.raises(UserError, match=r"cannot read label a b\.1\.png: masks/ holds no such file"):
        prepared(tree, Folder(**IN_FOLDERS, meaning=NUMBERS, ignored=(255,), splits=SPLITS))
    dataset = Folder(**IN_FOLDERS, meaning=NUMBERS, ignored=(255,), splits=SPLITS, unlabelled=True)
    out, findings = prepared(tree, dataset)
    assert np.unique(ShardedSplit(out, "train")[1][1]).tolist() == [255]
    words = "train: 1 images have no mask; all of their pixels are ignored: a b.1"
    assert words in map(str, findings.warnings)


def test_a_mask_of_ignored_pixels_alone_is_a_warning(make, prepared):
    tree = in_folders(make) | {"Data/train/masks/a b.0.png": make.mask([255])}
    _, findings = prepared(tree, Folder(**IN_FOLDERS, meaning=NUMBERS, ignored=(255,), splits=SPLITS))
    assert "train: 1 masks hold nothing but ignored pixels: a b.0" in map(str, findings.warnings)


def test_masks_may_lie_beside_their_images(make, prepared):
    tree = {}
    for number, split in enumerate(("train", "test")):
        tree[f"{split}/a{number}.png"] = make.picture(number)
        tree[f"{split}/a{number}_mask.png"] = make.mask([0, 1, 2, 7])
    dataset = Folder(images="{split}/*", masks="{split}/{stem}_mask", meaning=NUMBERS, splits=SPLITS)
    out, findings = prepared(tree, dataset)
    assert ShardedSplit(out, "train").ids == ("a0",)
    assert findings.warnings == ()


def kinds_of_images():
    """Grey images in every storage mode: name, grey value, image, and options to save it."""

    def grey(value):
        return np.full((6, 8), value, np.uint8)

    def rgb(value):
        return Image.fromarray(np.repeat(grey(value)[..., None], 3, axis=2))

    turned = Image.Exif()
    turned[0x0112] = 6
    yield "grey.PNG", 30, Image.fromarray(grey(30)), {}
    yield "palette.png", 50, rgb(50).quantize(4), {}
    yield "alpha.tif", 70, rgb(70).convert("RGBA"), {}
    yield "deep.tiff", 90, Image.fromarray(grey(90).astype(np.uint16) * 257), {}
    yield "print.jpg", 110, rgb(110).convert("CMYK"), {"quality": 100}
    yield "camera.JPEG", 130, rgb(130).transpose(Image.Transpose.ROTATE_90), {"quality": 100, "exif": turned}
    yield "web.webp", 150, rgb(150), {"lossless": True}
    yield "windows.BMP", 170, rgb(170), {}


def test_images_of_every_kind_are_what_a_viewer_shows(make, prepared):
    (make.root / "mine/images").mkdir(parents=True)
    tree = {
        "train.txt": b"\r\ngrey.PNG\r\n\r\npalette\r\nalpha\r\ndeep\r\n",
        "test.txt": b"print\n\ncamera\nweb\nwindows\n",
    }
    values = {}
    for name, value, image, options in kinds_of_images():
        values[name.partition(".")[0]] = value
        image.save(make.root / "mine/images" / name, **options)
        tree[f"masks/{name.partition('.')[0]}.png"] = make.mask([0, 1, 2, 7])
    out, findings = prepared(tree, Folder(**FLAT, lists="{split}.txt", meaning=NUMBERS, splits=SPLITS))
    for split, ids in (
        ("train", ("alpha", "deep", "grey", "palette")),
        ("report", ("camera", "print", "web", "windows")),
    ):
        images = ShardedSplit(out, split)
        assert images.ids == ids
        for number, name in enumerate(ids):
            shown = images[number][0].astype(int)
            assert shown.shape == (6, 8, 3), name
            assert np.abs(shown - values[name]).max() <= 3, name
    assert findings.warnings == ()


def test_an_image_and_its_mask_of_different_sizes_are_named_with_both(make, prepared):
    tree = in_folders(make) | {"Data/train/masks/a b.0.png": make.mask([0, 1], height=5, width=9)}
    tree |= {"Data/train/masks/a b.1.png": make.mask([0, 1], height=8, width=6)}
    with pytest.raises(UserError) as caught:
        prepared(tree, Folder(**IN_FOLDERS, meaning=NUMBERS, ignored=(255,), splits=SPLITS))
    assert "a b.0: image (6, 8) and label (5, 9) differ in size" in str(caught.value)
    assert "(8, 6) differ in size; the camera's note of how it was held is applied" in str(caught.value)


def test_two_files_of_one_name_are_both_named(make, prepared):
    tree = in_folders(make)
    tree["Copy/train/images/a b.0.png"] = make.picture(9)
    with pytest.raises(
        UserError,
        match=r"called a b\.0: .*Copy/train/images/a b\.0\.png and .*/a b\.0\.jpg; .*rename",
    ):
        prepared(tree, Folder(**IN_FOLDERS, meaning=NUMBERS, ignored=(255,), splits=SPLITS))


def test_a_folder_of_another_layout_is_said_to_be_one(make, prepared):
    dataset = Folder(**IN_FOLDERS, meaning=NUMBERS, splits=SPLITS)
    with pytest.raises(UserError, match=r"no file like .* not asked for: img/x\.png"):
        prepared({"img/x.png": make.picture(0)}, dataset)
    with pytest.raises(
        UserError, match=r"no file like \{split\}/masks/\{stem\}\.png in .*data\.folder\.masks"
    ):
        prepared({"train/images/x.png": make.picture(0)}, dataset, name="other")


@pytest.mark.parametrize(
    ("template", "member"),
    [
        ("{split}/images/*", "x/TRAIN/images/a.jpeg"),
        ("{split}_*/rgb/{stem}_image", "train_04/rgb/a_image.tif"),
        ("{stem}.jpg", "any/where/a.jpg"),
        ("img/*_rgb.png", "img/a_rgb.png"),
        ("{split}/*", "train/köln.webp"),
    ],
)
def test_templates_are_paths_with_parts_left_open(template, member):
    dataset = Folder(images=template, masks="no/{stem}", meaning=NUMBERS, splits=SPLITS)
    assert dataset.wanted(member)
    assert not dataset.wanted(f"{member}.txt")


@pytest.mark.parametrize("member", ["train/images/.a.jpg", "val/images/a.jpg", "xtrain/images/a.jpg"])
def test_hidden_files_and_other_splits_are_not_wanted(member):
    assert not Folder(**IN_FOLDERS, meaning=NUMBERS, splits=SPLITS).wanted(member)


def test_255_is_ignored_only_where_the_preset_says_so(make, prepared):
    """Black and white masks under a preset of 0 and 1 would otherwise lose a class without a word."""
    tree = in_folders(make, (0, 255))
    dataset = Folder(**IN_FOLDERS, meaning={"ground": (0,), "road": (1,)}, splits=SPLITS)
    with pytest.raises(UserError, match=r"no class: 255 \(48 pixels\).*list 255 under `ignore`"):
        prepared(tree, dataset)


def test_a_mask_of_255_is_no_missing_mask(make, prepared):
    dataset = Folder(**IN_FOLDERS, meaning={"ground": (0,), "road": (1,)}, splits=SPLITS, unlabelled=True)
    tree = in_folders(make, (0, 1))
    del tree["Data/train/masks/a b.0.png"]
    _, findings = prepared(tree, dataset)
    assert any("1 images have no mask" in str(warning) for warning in findings.warnings)
    tree["Data/train/masks/a b.0.png"] = make.mask([255])
    with pytest.raises(UserError, match=r"no class: 255"):
        prepared(tree, dataset, name="other")


def test_lists_may_differ_in_case_and_have_comments(make, prepared):
    lists = {"lists/train.txt": b"# mine\nI0.JPG\ni1.png\n", "lists/test.txt": b"I2\n# end\n"}
    dataset = Folder(**FLAT, lists="lists/{split}.txt", meaning=NUMBERS, splits=SPLITS)
    out, _ = prepared(flat(make) | lists, dataset)
    assert ShardedSplit(out, "train").ids == ("i0", "i1")
    assert ShardedSplit(out, "report").ids == ("i2",)
