import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tests.commands.typed import said
from tests.deployed import CLASSES, picture, write_pictures, write_run
from tests.imports import ROOT

from icsd.arrays import write_arrays
from icsd.core.metrics import iou_per_class, mean_iou
from icsd.core.predictions import predicted_classes
from icsd.data.manifest import SplitManifest, write_manifest
from icsd.data.shards import write_shards
from icsd.data.transforms import prepare
from icsd.datasets import DATASETS
from icsd.files import sha256_of
from icsd.models.weights import load_network
from icsd.records import MetricsRecord, write_record
from icsd.runs import data_folder

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("A_1", "A_2", "B_1", "C_1", "C_2")
"""Of three clips."""


def typed(*words):
    """Run the command in this process; return its output, or an error's message."""
    return said("evaluate-file", *words)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, with presets, a run, and a tiny CamVid."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "params.yaml").symlink_to(ROOT / "params.yaml")
    write_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def labels_of(place, images):
    """Labels for which most of the run's predictions are right."""
    network = load_network(place / "runs/camvid/kd/resnet18-0/student.safetensors").eval()
    labels = []
    for number, image in enumerate(images):
        with torch.no_grad():
            logits = network(prepare(image)[None])["logits"]
        label = predicted_classes(logits, image.shape[:2])[0].numpy().astype(np.uint8)
        label[: 5 + 3 * number] = number
        label[-2:] = 255
        labels.append(label)
    return labels


@pytest.fixture
def reported(place):
    """The reported split, and the run's results on it, computed independently pixel by pixel."""
    images = [np.array(picture(48, 64, seed=seed)) for seed in range(len(NAMES))]
    labels = labels_of(place, images)
    folder = place / data_folder("camvid")
    folder.mkdir(parents=True)
    records = list(zip(NAMES, images, labels, strict=True))
    splits = {"report": write_shards(folder, "report", records, num_classes=CLASSES)}
    write_manifest(folder, "camvid", DATASETS["camvid"].classes, splits)
    return images, labels


def counted(labelled, network):
    images, labels = labelled
    counts = np.zeros((len(images), CLASSES, CLASSES), np.int64)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        with torch.no_grad():
            logits = network(prepare(image)[None])["logits"]
        prediction = predicted_classes(logits, label.shape)[0].numpy()
        for truth, found in zip(label.flat, prediction.flat, strict=True):
            if truth != 255:
                counts[number, truth, found] += 1
    return counts


def write_results(place, counts, *, method="kd"):
    total = counts.sum(0)
    folder = place / f"results/camvid/{method}/resnet18-0"
    write_arrays(folder / "confusion.npz", {"confusion": counts, "ids": np.array(NAMES)})
    record = MetricsRecord(
        dataset="camvid",
        method=method,
        student="resnet18",
        seed=0,
        split="test",
        num_images=len(NAMES),
        classes=DATASETS["camvid"].classes,
        miou=mean_iou(total),
        pixel_accuracy=0.5,
        class_accuracy=0.5,
        iou_per_class=tuple(None if np.isnan(each) else each for each in iou_per_class(total)),
        absent_classes=(),
        agreement=None,
        parameters=1,
        flops=None,
        flops_input=None,
        weights_sha256=sha256_of(place / "runs/camvid/kd/resnet18-0/student.safetensors"),
    )
    write_record(folder / "metrics.json", record)


def test_a_run_is_measured_as_its_evaluation_measured_it(place, reported):
    run = place / "runs/camvid/kd/resnet18-0"
    counts = counted(reported, load_network(run / "student.safetensors").eval())
    write_results(place, counts)
    printed = typed(run)
    miou = 100 * mean_iou(counts.sum(0))
    low, high = map(float, re.search(rf"mIoU {miou:.2f} % \[(.*), (.*)\] over 3 clips", printed).groups())
    assert low < miou < high
    assert (
        f"its run, results/camvid/kd/resnet18-0: {miou:.2f} %; difference +0.00 points [0.00, 0.00]"
        in printed
    )
    rows = dict(re.findall(r"^(\S.*?)  +(\S+)  +\S+  +\S+$", printed, flags=re.MULTILINE))
    for name, iou in zip(DATASETS["camvid"].classes, iou_per_class(counts.sum(0)), strict=True):
        assert rows[name] == ("–" if np.isnan(iou) else f"{100 * iou:.2f}")


def test_the_difference_to_the_run_is_paired(place, reported):
    """The run's recorded scores are another's: then the difference has a sign and an interval."""
    run = place / "runs/camvid/kd/resnet18-0"
    other = load_network(write_run(place / "other", seed=1) / "student.safetensors").eval()
    counts = counted(reported, other)
    write_results(place, counts)
    printed = typed(run)
    own = counted(reported, load_network(run / "student.safetensors").eval())
    wanted = 100 * (mean_iou(own.sum(0)) - mean_iou(counts.sum(0)))
    found, low, high = map(float, re.search(r"difference (\S+) points \[(.*), (.*)\]", printed).groups())
    assert found == pytest.approx(wanted, abs=0.005)
    assert low < found < high


def test_results_of_other_images_are_shown_without_a_difference(place, reported):
    images, masks = place / "images", place / "masks"
    run = place / "runs/camvid/kd/resnet18-0"
    write_results(place, counted(reported, load_network(run / "student.safetensors").eval()))
    write_labelled(place, images, masks)
    printed = typed(run, "--images", images, "--masks", masks)
    assert "on other images" in printed
    assert "difference" not in printed


def write_labelled(place, images, masks):
    """Two images, whose masks are ids and colours."""
    write_pictures(images, (48, 64), (40, 56))
    masks.mkdir()
    pixels = [np.array(Image.open(images / f"{number}.png")) for number in (0, 1)]
    labels = labels_of(place, pixels)
    Image.fromarray(labels[0]).save(masks / "0.png")
    colours = np.array([*DATASETS["camvid"].palette, (0, 0, 0)], np.uint8)
    labels[1][labels[1] == 255] = 0
    Image.fromarray(colours[labels[1]]).save(masks / "1.png")
    return pixels, labels


def test_a_labelled_folder_has_ids_or_colours(place):
    images, masks = place / "images", place / "masks"
    pixels, labels = write_labelled(place, images, masks)
    run = place / "runs/camvid/kd/resnet18-0"
    counts = counted((pixels, labels), load_network(run / "student.safetensors").eval())
    printed = typed(run, "--images", images, "--masks", masks)
    assert f"mIoU {100 * mean_iou(counts.sum(0)):.2f} %" in printed
    assert "over 2 images" in printed


def test_numbers_that_are_no_class_are_named_or_ignored(place):
    images, masks = place / "images", place / "masks"
    write_pictures(images, (48, 64))
    masks.mkdir()
    label = labels_of(place, [np.array(Image.open(images / "0.png"))])[0]
    label[label == 255] = 11  # as CamVid publishes it
    Image.fromarray(label).save(masks / "0.png")
    words = (place / "runs/camvid/kd/resnet18-0", "--images", images, "--masks", masks)
    assert "use --ignore 11" in typed(*words)
    assert "mIoU" in typed(*words, "--ignore", 11)


def test_mistakes_are_said_in_words(place):
    run = place / "runs/camvid/kd/resnet18-0"
    images, masks = place / "images", place / "masks"
    assert "does not exist: prepare it" in typed(run)
    assert "belong together" in typed(run, "--images", images)
    write_pictures(images, (48, 64), (48, 64))
    assert "there is no such folder" in typed(run, "--images", images, "--masks", masks)
    masks.mkdir()
    Image.fromarray(np.zeros((48, 60), np.uint8)).save(masks / "0.png")
    assert f"has no mask for {images / '1.png'}" in typed(run, "--images", images, "--masks", masks)
    (images / "1.png").unlink()
    assert "is 48 × 60, and its image is 48 × 64" in typed(run, "--images", images, "--masks", masks)
    Image.fromarray(np.full((48, 64), 255, np.uint8)).save(masks / "0.png")
    assert "no pixel has a class" in typed(run, "--images", images, "--masks", masks)


def test_what_is_wrong_with_the_report_s_settings_is_named(place, reported):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (place / "params.yaml").unlink()
    (place / "params.yaml").write_text(
        text.replace("  resamples: 2000", "  resamples: many"), encoding="utf-8"
    )
    assert typed("runs/camvid/kd/resnet18-0").startswith(
        "params.yaml:\n  report.resamples: Input should be a valid integer, got 'many'"
    )


def test_what_is_wrong_with_the_record_of_a_dataset_is_named(place, reported):
    file = place / "runs/camvid/kd/resnet18-0" / "train.json"
    record = json.loads(file.read_text())
    record["params"]["data"]["reader"] = 3
    file.write_text(json.dumps(record))
    text = typed("runs/camvid/kd/resnet18-0")
    assert text.startswith(
        "runs/camvid/kd/resnet18-0/train.json: params.data: does not describe a dataset:\n  reader: Input"
    )
    assert "pydantic" not in text


def test_a_split_of_other_classes_is_refused(place, reported):
    manifest = place / data_folder("camvid") / "manifest.json"
    content = json.loads(manifest.read_text())
    splits = {
        name: SplitManifest.model_validate_json(json.dumps(each)) for name, each in content["splits"].items()
    }
    write_manifest(manifest.parent, "camvid", (*DATASETS["camvid"].classes[:-1], "others"), splits)
    assert "has the classes sky" in typed(place / "runs/camvid/kd/resnet18-0")


def test_files_are_named_with_their_folder(place):
    images, masks = place / "images/deep", place / "masks/deep"
    write_pictures(images, (48, 64))
    masks.mkdir(parents=True)
    (masks / "0.png").write_bytes(b"no mask")
    words = (place / "runs/camvid/kd/resnet18-0", "--images", place / "images", "--masks", place / "masks")
    assert typed(*words).startswith(f"{masks / '0.png'}: cannot read label 0.png")
    (images / "0.png").write_bytes(b"no image")
    assert typed(*words).startswith(f"{images / '0.png'}: cannot read image 0.png")


def test_two_masks_of_one_image_are_refused(place):
    images, masks = place / "images", place / "masks"
    write_labelled(place, images, masks)
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(masks / "0.bmp")
    message = typed(place / "runs/camvid/kd/resnet18-0", "--images", images, "--masks", masks)
    assert f"{masks / '0.bmp'} and {masks / '0.png'} are of the same image" in message


def test_images_and_masks_may_share_a_folder_where_a_pattern_tells_them_apart(place):
    folder = place / "both"
    write_labelled(place, folder, place / "masks")
    for number in (0, 1):
        Image.open(folder / f"{number}.png").save(folder / f"{number}.bmp")
        (place / f"masks/{number}.png").replace(folder / f"{number}.png")
    run = place / "runs/camvid/kd/resnet18-0"
    message = typed(run, "--images", folder, "--masks", folder)
    assert "is the folder of the images, too" in message
    for number in (0, 1):
        Image.open(folder / f"{number}.bmp").save(folder / f"{number}.webp", lossless=True)
        (folder / f"{number}.bmp").unlink()
    assert "over 2 images" in typed(run, "--images", folder / "*.webp", "--masks", folder)


def test_predictions_of_images_that_differ_in_their_suffix_alone_are_found_again(place):
    images, run = place / "images", place / "runs/camvid/kd/resnet18-0"
    write_pictures(images, (48, 64), (40, 56))
    Image.open(images / "1.png").save(images / "0.bmp")
    said("predict", run, images, "--out", place / "out")
    assert "mIoU 100.00 %" in typed(run, "--images", images, "--masks", place / "out/masks")
