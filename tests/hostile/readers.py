"""Every reader of this project, with a valid file for it."""

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.imports import ROOT
from tests.reporting.deployed import write_deployed
from tests.reporting.tree import Tree
from tests.stages.recording.test_evaluation import METRICS

from icsd.arrays import read_arrays, write_arrays
from icsd.commands.convert.coco import convert_coco
from icsd.commands.new_dataset.names import class_names_below
from icsd.commands.new_dataset.survey import read_mask
from icsd.commands.predict.outputs import IMAGE, Note, image_of_mask
from icsd.commands.tune.study import Study
from icsd.commands.tune.table import check_trials
from icsd.commands.worth.store import Store, Trained
from icsd.data.manifest import MANIFEST, write_manifest
from icsd.data.prepared import PreparedData
from icsd.data.shards import write_shards
from icsd.datasets.archives import is_archive, member_names, verify
from icsd.datasets.fetch.listing import Listing
from icsd.datasets.reading.images import read_image
from icsd.datasets.reading.lists import names_in, read_list, without_number
from icsd.datasets.reading.masks import read_ids
from icsd.datasets.reading.mat import read_matrix
from icsd.deployment.card import Card, read_card
from icsd.deployment.exporting import onnx_file, torch_file
from icsd.deployment.runners import open_file
from icsd.errors import UserError
from icsd.models.deeplab import build_network
from icsd.models.weight_files import read_state
from icsd.models.weights import load_network, save_weights
from icsd.params import load_params
from icsd.records import CostRecord, MetricsRecord, TrainRecord, read_record, write_record
from icsd.reporting.deployed import load_deployed
from icsd.reporting.literature.values import read_published
from icsd.reporting.reading import _read_history as read_history
from icsd.reporting.results import Results
from icsd.stages.paces import pace_path, read_paces
from icsd.stages.tuned_weights import read_tuned
from icsd.tracking.journal import Journal
from icsd.tracking.run import RunDescription, run_id_in
from icsd.training.checkpoint import resume, save_state
from icsd.training.logits_file import LogitsReader, claim
from icsd.training.spent import Spent
from icsd.yaml_files import read_yaml, yaml_text


@dataclass(frozen=True)
class Reader:
    """A reader, and a function that writes a valid file for it.

    Attributes:
        write: Writes a valid file into a folder, with the files that belong to it, and returns its path.
        read: Reads that file.
        refuses: Exceptions that it documents for invalid files; empty if it raises none.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    refuses: tuple[type[Exception], ...] = (UserError,)


def _file(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def _copy(source: Path, *others: Path) -> Callable[[Path], Path]:
    """Copies a file of this repository, with others that are read with it, to the same relative paths."""

    def write(folder: Path) -> Path:
        for path in (*others, source):
            copy = _file(path.relative_to(ROOT).as_posix(), path.read_bytes())(folder)
        return copy

    return write


def _picture(mode: str, kind: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 200, (24, 32, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _noted(key: str, value: str) -> PngInfo:
    notes = PngInfo()
    notes.add_text(key, value)
    return notes


_MEMBERS = {"a/one.png": b"1" * 900, "a/two.txt": b"two\n" * 50}


def _tar(mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{mode}", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for name, content in _MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), {"comment": "x"}
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _MEMBERS.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _read_archive(path: Path) -> None:
    if is_archive(path):
        list(member_names(path))
        verify(path, wanted=lambda name: name.endswith(".png"), max_bytes=1 << 20)


def _mat() -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {"GTcls": {"Segmentation": np.zeros((6, 8), np.uint8)}}, do_compression=True)
    return stream.getvalue()


def _write_prepared(folder: Path) -> Path:
    image, label = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    split = write_shards(folder, "train", [("a", image, label), ("b", image, label)], num_classes=2)
    write_manifest(folder, "made", ["sky", "road"], {"train": split})
    return folder / MANIFEST


def _read_prepared(path: Path) -> None:
    data = PreparedData(path.parent)
    for name in data.splits:
        data.split(name)


def _write_shard(folder: Path) -> Path:
    _write_prepared(folder)
    return next(folder.glob("*.images"))


def _write_network(folder: Path) -> Path:
    network = build_network("resnet18", num_classes=3, width=0.0625, output_stride=16)
    save_weights(network, folder / "student.safetensors")
    return folder / "student.safetensors"


def _write_pretrained(folder: Path) -> Path:
    torch.save({"conv1.weight": torch.zeros(2, 3, 3, 3)}, folder / "weights.pth")
    return folder / "weights.pth"


def _write_state(folder: Path) -> Path:
    save_state({"epoch": 2, "student": {"weight": torch.zeros(3)}}, folder / "checkpoint.pt")
    return folder / "checkpoint.pt"


def _read_state(path: Path) -> None:
    resume(path, lambda state: state["epoch"])


def _write_logits(folder: Path) -> Path:
    writer = claim(folder / "epoch", 2)
    assert writer is not None
    for _ in range(2):
        writer.write(torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, 2, 2))
    writer.publish(Spent(1.0, 1.0))
    return folder / "epoch"


def _read_logits(path: Path) -> None:
    reader = LogitsReader(path, 2)
    try:
        for _ in range(2):
            assert not reader.read(torch.zeros(2, 3, 8, 8)).any()
    finally:
        reader.close()


def _write_metrics(folder: Path) -> Path:
    write_record(folder / "metrics.json", METRICS)
    return folder / "metrics.json"


def _grid(root: Path) -> Tree:
    return Tree(root, methods=("none",), seeds=(0,), classes=("sky", "road", "tree"))


@cache
def _results(root: Path) -> Results:
    return _grid(root).load()


def _write_deployment(folder: Path) -> Path:
    return write_deployed(_grid(folder).write(), "none", {"int8": {}}) / "deployment.json"


def _json(name: str, content: Mapping[str, object]) -> Callable[[Path], Path]:
    return _file(name, json.dumps(content).encode())


def _write_arrays(folder: Path) -> Path:
    write_arrays(folder / "ics.npz", {"student": np.zeros((3, 3)), "ids": np.array(["a", "b"])})
    return folder / "ics.npz"


def _first(path: Path) -> list[str]:
    return [name for line in read_list(path) for name in names_in(without_number(line))]


def _names(path: Path) -> object:
    return class_names_below(path.parent)


def _write_coco(folder: Path) -> Path:
    (folder / "1.png").write_bytes(_picture("RGB", "PNG"))
    polygon = {"id": 1, "image_id": 1, "category_id": 2, "iscrowd": 0, "segmentation": [[0, 0, 5, 0, 0, 5]]}
    content = {
        "images": [{"id": 1, "file_name": "1.png", "height": 6, "width": 8}],
        "categories": [{"id": 2, "name": "roof"}],
        "annotations": [polygon],
    }
    return _json("instances.json", content)(folder)


def _convert(path: Path) -> None:
    out = path.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    convert_coco(path, path.parent, out, split=None)


def _write_journal(folder: Path) -> Path:
    journal = Journal(folder)
    for step in (1, 2, 3):
        journal.append({"kind": "metrics", "time": step, "step": step, "values": {"loss": 0.5}})
    journal.append({"kind": "image", "key": "a", "step": 1, "file": "a.png", "time": 1})
    journal.deliver(journal.take()[1].end, postponed=[0])
    return folder / "journal.jsonl"


def _write_progress(folder: Path) -> Path:
    return _write_journal(folder).with_name("delivered.json")


def _read_journal(path: Path) -> None:
    journal = Journal(path.parent)
    RunDescription.of(journal)
    run_id_in(path.parent)
    list(journal.postponed())
    journal.take()
    journal.rewind(1)
    for aside in path.parent.glob("*.damaged-*"):  # what could not be read is kept
        aside.unlink()


def _write_study(folder: Path) -> Path:
    study = Study(folder / "optuna.journal", "kd-resnet18-0")
    for factor, miou in ((1.0, 0.25), (0.316, None), (3.16, 0.5)):
        study.add(factor, miou, largest=10.0)
    Study(folder / "optuna.journal", "at-resnet18-0").add(1.0, 0.75, largest=10.0)
    return folder / "optuna.journal"


def _read_study(path: Path) -> None:
    finished = Study(path, "kd-resnet18-0").finished
    assert finished.items() <= {1.0: 0.25, 0.316: None, 3.16: 0.5}.items()  # a changed score is no score


_OF_A_QUESTION = Trained(method="kd", seed=1001, epochs=3, miou=0.25, seconds=2.5, seconds_saved=0.5)


def _write_question(folder: Path) -> Path:
    Store(folder).add("shapes-kd-resnet18-1001-0", _OF_A_QUESTION)
    return folder / "trainings.json"


def _read_question(path: Path) -> None:
    found = Store(path.parent).training("shapes-kd-resnet18-1001-0")
    assert found in (None, _OF_A_QUESTION)  # a changed score is no score


class _Pointwise(torch.nn.Conv2d):
    """The smallest network."""

    def __init__(self) -> None:
        super().__init__(3, 2, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": super().forward(images)}


_CARD = Card(
    dataset="made",
    network="kd",
    classes=("sky", "road"),
    palette=((0, 0, 0), (9, 9, 9)),
    input_scale=1.0,
    weights_sha256="0" * 64,
)


def _exported(suffix: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        make = onnx_file if suffix == ".onnx" else torch_file
        return _file(f"a{suffix}", make(_Pointwise().eval(), _CARD))(folder)

    return write


def _read_card(path: Path) -> None:
    read_card(path.read_bytes().decode(errors="replace"), path.name)


_COST = {
    **dict.fromkeys(("seconds_training", "seconds_per_epoch", "images_per_second"), 1.0),
    **dict.fromkeys(("device", "machine", "torch", "started", "finished", "state"), "-"),
    **{"schema": 1, "peak_memory_mb": None, "extra_parameters": 0, "resumed": 0, "git": None},
    "mlflow": {"experiment": "icsd-shapes", "run_id": "0"},
}
_TRAINING = {
    **{"schema": 2, "kind": "student", "dataset": "shapes", "method": "kd", "seed": 0, "pretrained": False},
    **{"epochs": 3, "batch": 4, "crop": [32, 32], "num_train_images": 12, "num_validation_images": 0},
    **{"selected": "last", "selected_epoch": 3, "params": {"method": {"weights": {"kd": 1.0}}}},
    "network": {"backbone": "resnet18", "width": 0.5, "output_stride": 16},
    "provenance": {"code": {"a.py": "0"}, "data": "0", "teacher": None, "pretrained": None},
}
_PACE = {
    **{"pace": 1.4, "milliseconds": 14.0, "milliseconds_alone": 10.0, "rounds": 15, "device": "cpu"},
    **{"threads": 1, "precision": "32-true", "of": {"batch": 8, "images": {"crop": [32, 32]}}},
}
_PRESETS = [*(ROOT / "configs/datasets").glob("*.yaml")]
_TRAINED = ROOT / "configs/tuned/camvid.yaml"

READERS = {
    "params.yaml": Reader(_copy(ROOT / "params.yaml", *_PRESETS), lambda path: load_params(path.parent)),
    "preset": Reader(
        _copy(ROOT / "configs/datasets/shapes.yaml", ROOT / "params.yaml"),
        lambda path: load_params(path.parents[2]),
    ),
    "yaml": Reader(_file("a.yaml", b"a: [1, 2.5, on]\nb: &x {c: '1'}\nd: *x\n"), read_yaml),
    "tuned weights": Reader(_copy(_TRAINED), lambda path: read_tuned(path.parents[2], "camvid")),
    "tuned weights, all trials": Reader(_copy(_TRAINED.with_suffix(".csv")), check_trials),
    "paces": Reader(
        _file(
            pace_path("shapes").as_posix(),
            yaml_text({"students": {"resnet18": {"kd": _PACE}}}).encode(),
        ),
        lambda path: read_paces(path.parents[2], "shapes"),
    ),
    "trials": Reader(_write_study, _read_study),
    "trainings of a question": Reader(_write_question, _read_question),
    "published.csv": Reader(_copy(ROOT / "src/icsd/reporting/literature/published.csv"), read_published),
    "deployment.json": Reader(
        _write_deployment, lambda path: load_deployed(path.parents[2], _results(path.parents[2]))
    ),
    "metrics.json": Reader(_write_metrics, lambda path: read_record(path, MetricsRecord)),
    "train.json": Reader(_json("train.json", _TRAINING), lambda path: read_record(path, TrainRecord)),
    "cost": Reader(_json("cost.json", _COST), lambda path: read_record(path, CostRecord)),
    "listing": Reader(
        _json("listing.json", {"schema": 1, "download": "0" * 64, "files": {"a": [1, 2]}}),
        lambda path: read_record(path, Listing),
    ),
    "history.csv": Reader(_file("history.csv", b"epoch,lr,val/miou\n1,0.1,\n2,0.05,0.5\n"), read_history),
    "arrays": Reader(
        _write_arrays, lambda path: read_arrays(path, {"student": ("real", 2), "ids": ("text", 1)})
    ),
    "manifest": Reader(_write_prepared, _read_prepared),
    "shard": Reader(_write_shard, _read_prepared),
    "labelmap.txt": Reader(_file("labelmap.txt", b"# label:color\nsky:1,2,3::\nroad:0,0,0::\n"), _names, ()),
    "_classes.csv": Reader(_file("_classes.csv", b"Pixel Value, Class\n0, sky\n1, road\n"), _names, ()),
    "id2label.json": Reader(_json("id2label.json", {"id2label": {"0": "sky", "1": "road"}}), _names, ()),
    "classes.txt": Reader(_file("classes.txt", b"sky\r\nroad\r\n"), _names, ()),
    "data.yaml": Reader(_file("data.yaml", b"names:\n  0: sky\n  1: road\n"), _names, ()),
    "mask, counted": Reader(_file("m.png", _picture("P", "PNG")), read_mask, ()),
    "coco": Reader(_write_coco, _convert),
    "list": Reader(_file("train.txt", "0001TP_006690 1\nSeq 05/é.png labels/x.png\n".encode()), _first),
    "list in UTF-16": Reader(_file("train.txt", "one\r\ntwo\r\n".encode("utf-16")), _first),
    "tar": Reader(_file("a.tar", _tar("")), _read_archive),
    "tar.gz": Reader(_file("a.tar.gz", _tar("gz")), _read_archive),
    "tar.xz": Reader(_file("a.tar.xz", _tar("xz")), _read_archive),
    "zip": Reader(_file("a.zip", _zip()), _read_archive),
    "PNG": Reader(_file("a.png", _picture("RGB", "PNG")), read_image),
    "JPEG": Reader(_file("a.jpg", _picture("RGB", "JPEG", quality=90)), read_image),
    "TIFF": Reader(_file("a.tif", _picture("RGB", "TIFF")), read_image),
    "WebP": Reader(_file("a.webp", _picture("RGB", "WEBP")), read_image),
    "BMP": Reader(_file("a.bmp", _picture("RGB", "BMP")), read_image),
    "mask": Reader(_file("m.png", _picture("L", "PNG")), read_ids),
    "mask with a palette": Reader(_file("m.png", _picture("P", "PNG")), read_ids),
    "mask, its image": Reader(
        _file("m.png", _picture("P", "PNG", pnginfo=_noted(IMAGE, "0" * 64))), image_of_mask, ()
    ),
    "mask of SBD": Reader(
        _file("m.mat", _mat()),
        lambda path: read_matrix(path.read_bytes(), "GTcls", "Segmentation"),
        (ValueError,),
    ),
    "journal": Reader(_write_journal, _read_journal, ()),
    "progress of a journal": Reader(_write_progress, _read_journal, ()),
    "checkpoint": Reader(_write_state, _read_state),
    "the teacher's logits": Reader(_write_logits, _read_logits, (ValueError,)),
    "card": Reader(_file("card.json", _CARD.to_json().encode()), _read_card),
    "ONNX": Reader(_exported(".onnx"), open_file),
    "torch.export program": Reader(_exported(".pt2"), open_file),
    "predictions.json": Reader(
        _json("predictions.json", {"weights_sha256": "0" * 64, "precision": "fp32", "classes": ["sky"]}),
        lambda path: read_record(path, Note),
    ),
    "network": Reader(_write_network, load_network),
    "pretrained": Reader(
        _write_pretrained, lambda path: read_state(path, setting="networks.pretrained", advice="Or none.")
    ),
}
