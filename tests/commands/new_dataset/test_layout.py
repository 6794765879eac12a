import numpy as np
import pytest
from tests.commands.new_dataset.folders import COLOURS, in_folders, save, scene, write

from icsd.commands.new_dataset.layout import layout_of
from icsd.commands.new_dataset.questions import Questions
from icsd.commands.new_dataset.survey import looks_like_mask
from icsd.errors import UserError

CITY = [
    *in_folders("leftImg8bit/{split}/ulm/{n}_leftImg8bit.png", "gtFine/{split}/ulm/{n}_gtFine_labelIds.png"),
    *in_folders(
        "leftImg8bit/{split}/bonn/b{n}_leftImg8bit.png", "gtFine/{split}/bonn/b{n}_gtFine_labelIds.png"
    ),
]


@pytest.mark.parametrize(
    ("pairs", "images", "masks", "splits"),
    [
        (
            in_folders("{split}/images/{n}.jpg", "{split}/masks/{n}.png"),
            "{split}/images/{stem}",
            "{split}/masks/{stem}",
            ("train", "val", "test"),
        ),
        (
            in_folders("Images/{split}/{n}.JPG", "Labels/{split}/{n}.PNG", splits=("Training", "Testing")),
            "Images/{split}/{stem}",
            "Labels/{split}/{stem}",
            ("Training", None, "Testing"),
        ),
        (
            in_folders(
                "data/img_dir/{split}/köln {n}.jpg",
                "data/ann_dir/{split}/köln {n}.png",
                splits=("train", "val"),
            ),
            "data/img_dir/{split}/{stem}",
            "data/ann_dir/{split}/{stem}",
            ("train", None, "val"),
        ),
        (
            in_folders("{split}/{n}.png", "{split}annot/{n}.png"),
            "{split}/{stem}",
            "{split}annot/{stem}",
            ("train", "val", "test"),
        ),
        (
            in_folders("Cam/{split}/{n}.png", "Cam/{split}_labels/{n}_L.png"),
            "Cam/{split}/{stem}",
            "Cam/{split}_labels/{stem}_L",
            ("train", "val", "test"),
        ),
        (
            in_folders(
                "{split}/images/{n}.jpg", "{split}/masks/{n}.jpg.png", splits=("train", "valid", "test")
            ),
            "{split}/images/{stem}",
            "{split}/masks/{stem}.jpg.png",
            ("train", "valid", "test"),
        ),
        (
            in_folders("images_{split}2017/{n}.jpg", "masks_{split}2017/{n}.png", splits=("train", "val")),
            "images_{split}2017/{stem}",
            "masks_{split}2017/{stem}",
            ("train", None, "val"),
        ),
        (
            CITY,
            "leftImg8bit/{split}/*/{stem}_leftImg8bit",
            "gtFine/{split}/*/{stem}_gtFine_labelIds",
            ("train", "val", "test"),
        ),
    ],
)
def test_folders_that_name_splits(described, pairs, images, masks, splits):
    preset, printed = described(pairs)
    folder = preset["data"]["folder"]
    assert (folder["images"], folder["masks"]) == (images, masks)
    assert tuple(preset["data"]["splits"].values()) == splits
    assert folder["lists"] is folder["fractions"] is None
    assert "doctor: no errors" in printed


@pytest.mark.parametrize(
    ("image", "mask", "images", "masks"),
    [
        ("images/{n}.png", "masks/{n}.png", "images/{stem}", "masks/{stem}"),
        ("{n}.jpg", "{n}_mask.png", "{stem}", "{stem}_mask"),
        ("all/{n}.png", "all/{n}_gt.png", "all/{stem}", "all/{stem}_gt"),
        ("all/{n}.jpg", "all/{n}.png", "all/{stem}.jpg", "all/{stem}.png"),
        ("img/img_{n}.jpg", "mask/mask_{n}.png", "img/img_{stem}", "mask/mask_{stem}"),
        ("IMG/IMG_{n}.jpg", "GT/IMG_{n}.png", "IMG/{stem}", "GT/{stem}"),
    ],
)  # fmt: skip
def test_without_splits_there_are_fractions(described, image, mask, images, masks):
    preset, printed = described(in_folders(image, mask, number=6))
    folder = preset["data"]["folder"]
    assert (folder["images"], folder["masks"]) == (images, masks)
    assert folder["fractions"] == {"train": 0.7, "val": 0.15, "test": 0.15}
    assert "no folders and no lists split the images: 70 / 15 / 15 %" in printed
    assert "doctor: no errors" in printed


def test_lists_of_voc_are_found(described, tmp_path):
    pairs = [
        (f"JPEGImages/{n:03}.jpg", f"SegmentationClass/{n:03}.png" if n < 8 else None) for n in range(20)
    ]
    write(tmp_path / "own", [(f"SegmentationObject/{n:03}.png", None) for n in range(8)])
    lists = tmp_path / "own/ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for split, numbers in (("train", range(5)), ("val", range(5, 8)), ("trainval", range(8))):
        (lists / f"{split}.txt").write_text(
            "\r\n".join(f"{n:03}" for n in numbers) + "\r\n\r\n", encoding="utf-8"
        )
    preset, printed = described(pairs)
    assert preset["data"]["folder"]["lists"] == "ImageSets/Segmentation/{split}.txt"
    assert preset["data"]["splits"] == {"train": "train", "validation": None, "report": "val"}
    assert preset["data"]["folder"]["unlabelled"] is False
    assert "left alone: SegmentationObject/{stem} (8 files)" in printed
    assert "train train (5), report val (3)" in printed


def test_a_test_folder_without_masks_is_left_out(described):
    pairs = in_folders("{split}/images/{n}.jpg", "{split}/masks/{n}.png", splits=("train", "val"))
    pairs += [("test/images/t.jpg", None)]
    preset, printed = described(pairs)
    assert preset["data"]["splits"] == {"train": "train", "validation": None, "report": "val"}
    assert "the folders of test have no masks and are left out" in printed


def test_images_without_a_mask_are_unlabelled(described):
    pairs = [*in_folders("images/{n}.png", "masks/{n}.png", number=6), ("images/new.png", None)]
    preset, printed = described(pairs)
    assert preset["data"]["folder"]["unlabelled"] is True
    assert "1 images have no mask: new" in printed


def test_fractions_are_drawn_so_that_every_split_has_images(described, project):
    preset, _ = described(in_folders("images/{n}.png", "masks/{n}.png", number=2))
    seed = preset["data"]["folder"]["seed"]
    assert f"by seed {seed} and name" in (project / "configs/datasets/own.yaml").read_text(encoding="utf-8")


def refused(described, tmp_path, files):
    (tmp_path / "own").mkdir()
    for name in files:
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(UserError) as caught:
        described()
    return str(caught.value)


def test_a_folder_that_is_not_there_is_named(project, tmp_path):
    with pytest.raises(UserError, match=r"nowhere: there is no such folder"):
        layout_of(tmp_path / "nowhere", Questions(False), looks_like_mask=looks_like_mask)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "it is empty"),
        (("a.npy", "b.npy", "c.json"), "found 2 × .npy, 1 × .json; save images and masks as image files"),
        (
            ("images/a.png", "masks/b.png"),
            "no images and masks of the same names; found images/{stem} (1 files)",
        ),
        ((".hidden/a.png", "__MACOSX/b.png"), "contains no images"),
    ],
)
def test_what_is_there_instead_is_said(described, tmp_path, files, words):
    assert words in refused(described, tmp_path, files)


def test_splits_that_lack_training_are_refused(described):
    with pytest.raises(UserError, match=r"folders test, val give no training and reported images"):
        described(in_folders("{split}/images/{n}.jpg", "{split}/masks/{n}.png", splits=("val", "test")))


def test_too_few_images_are_refused(described):
    with pytest.raises(UserError, match="2 images with masks are too few"):
        described(in_folders("images/{n}.png", "masks/{n}.png", splits=("a",)))


def test_content_tells_images_from_masks_where_names_do_not(described):
    preset, _ = described(in_folders("a/{n}.png", "b/{n}.png", number=6), colours=COLOURS)
    assert (preset["data"]["folder"]["images"], preset["data"]["folder"]["masks"]) == ("a/{stem}", "b/{stem}")


def test_several_kinds_of_masks_are_a_question_with_a_stated_default(described, tmp_path):
    pairs = in_folders("images/{n}.png", "masks/{n}.png", number=6)
    for _, mask in pairs:
        save(tmp_path / "own" / mask.replace("masks", "labels"), scene(0)[1])
    preset, printed = described(pairs)
    assert preset["data"]["folder"]["masks"] in {"masks/{stem}", "labels/{stem}"}
    assert (
        "not asked: several groups of files may be images and masks: took images/{stem} with masks" in printed
    )


def test_the_folder_is_only_read(described, tmp_path):
    pairs = in_folders("images/{n}.png", "masks/{n}.png", number=6)
    root = write(tmp_path / "own", pairs)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    for path in root.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    described()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert np.all([path.exists() for path in before])
