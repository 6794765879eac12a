"""``bench`` on networks and files, in one process except for the measurements of memory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.commands.typed import said
from tests.deployed import write_pictures, write_run
from tests.imports import ROOT
from tests.libraries import write_own

from icsd.commands.bench.forms import KINDS, Model, find, rows_of, without_compiler
from icsd.commands.bench.sizes import usual_sizes
from icsd.data.manifest import write_manifest
from icsd.data.shards import write_shards
from icsd.datasets import DATASETS
from icsd.deployment import latency
from icsd.deployment.runners import open_file
from icsd.errors import UserError
from icsd.machine import cores
from icsd.runs import data_folder

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = ("--size", "32x48", "--threads", 1, "--seconds", 0)
RUN = "runs/camvid/kd/resnet18-0"


def typed(*words, name="bench"):
    """Run a command in this process; return its output, or an error's message."""
    return said(name, *words)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The working directory, with a run and its exported files."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        write_own(folder, patch)
        write_run(folder, name="python:own_networks:Mine", input_scale=0.5)
        patch.chdir(folder)
        write_pictures(folder / "images", (32, 48))
        for name, words in {"a.onnx": ("onnx",), "inside.pt2": ("torch", "--with-preprocessing")}.items():
            typed(RUN, "--out", name, "--images", "images", "--to", *words, name="export")
        yield folder


@pytest.fixture
def no_process(monkeypatch):
    """Replaces the measurement of memory, which needs a process per form; most tests do not need it."""
    monkeypatch.setattr(
        latency, "peak_megabytes", lambda name, opening, sizes, **_: dict.fromkeys(sizes, 1.0)
    )


def test_a_network_is_measured_as_it_is_and_as_it_is_exported(place, tmp_path):
    out = tmp_path / "new/table.json"
    forms = ("--form", "eager", "--form", "onnx", "--form", "int8")
    printed = typed(RUN, *QUICK, *forms, "--out", out)
    assert printed.splitlines()[-1] == f"written to {out}"
    table = json.loads(out.read_text())
    assert table["machine"].keys() >= {"cpu", "cores", "load", "python", "torch", "onnxruntime"}
    assert [row["form"] for row in table["rows"]] == ["torch eager", "ONNX Runtime fp32", "ONNX Runtime int8"]
    for row in table["rows"]:
        assert (row["model"], row["height"], row["width"], row["threads"]) == (RUN, 32, 48, 1)
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["calls"] == 5
        assert 0 < row["images_per_second"] < 1e6
        assert row["peak_megabytes"] > 0
    assert table["rows"][0]["file_bytes"] == (place / RUN / "student.safetensors").stat().st_size
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.json"]


@pytest.mark.usefixtures("no_process")
def test_files_are_measured_as_they_are_and_several_models_are_told_apart(place):
    printed = typed("a.onnx", "inside.pt2", "a.onnx", *QUICK, "--batch", 3).splitlines()
    assert printed[-3].split()[:3] == ["model", "form", "size"]
    assert [line.split()[:4] for line in printed[-2:]] == [
        ["a.onnx", "ONNX", "Runtime", "fp32"],
        ["inside.pt2", "torch.export", "fp32", "32×48×3"],
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((RUN, "--out", "table.xlsx"), r"--out table.xlsx: a table is written as .md, .csv, .json"),
        ((RUN, "--size", "360"), "--size 360: is no size; give height and width in pixels"),
        ((RUN, "--size", "0x5"), "--size 0x5: is no size"),
        ((RUN, "--size", "-3x5"), "--size -3x5: is no size"),
        ((RUN, "--size", "١x٢٣"), "is no size"),
        ((RUN, "--threads", "4096"), "--threads 4096: this machine has"),
        ((RUN,), "there is no preset configs/datasets/camvid.yaml that names a size .* --size HxW"),
        (("nowhere",), "nowhere: there is no such model; MODEL is a run's folder"),
        (("images/0.png",), "images/0.png: is none of a run's folder"),
        (("images",), r"images: holds 0 .safetensors files"),
        (("damaged.onnx", *QUICK), "damaged.onnx is not a readable .onnx file"),
        (("models:/nobody", *QUICK), "is no address of a registered model"),
    ],
)
def test_mistakes_are_said_before_the_work(words, message, place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    Path("damaged.onnx").write_bytes(Path("a.onnx").read_bytes()[:500])
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError, match=message):
        raise UserError(typed(*words))
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_named_with_its_extra(library, place, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    message = typed(RUN, *QUICK)
    assert f"needs the package {library}" in message
    assert "uv sync --extra deploy" in message


@pytest.mark.usefixtures("no_process")
def test_without_a_compiler_the_rest_is_measured_and_the_reason_said(place, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no C++ compiler\nsearched everywhere")

    monkeypatch.setattr(torch, "compile", fails)
    assert without_compiler(torch.device("cpu")) == "no C++ compiler"
    printed = typed(RUN, *QUICK, "--form", "compiled", "--form", "eager")
    assert "torch compiled is left out: no compiler works here (no C++ compiler)" in printed
    assert [line.split("  ")[0] for line in printed.splitlines()].count("torch eager") == 1
    assert "is all that was asked for" in typed(RUN, *QUICK, "--form", "compiled")


def test_cuda_adds_what_torch_runs_there(place, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H1")
    model = find(place, RUN, None)
    assert not model.is_file
    cpu, cuda = torch.device("cpu"), torch.device("cuda")

    def labels(model, devices, kinds=KINDS):
        return [row.label for row in rows_of(place, model, kinds, devices, place / "exported", print)]

    on_cuda = ["torch eager, H1", "torch compiled, H1"]
    exported = ["ONNX Runtime fp32", "ONNX Runtime int8"]
    assert labels(model, [cpu, cuda]) == ["torch eager", "torch compiled", *on_cuda, *exported]
    assert labels(model, [cuda]) == on_cuda
    assert labels(Model("a.onnx", place / "a.onnx", model.card, is_file=True), [cuda]) == []


def test_without_sizes_those_of_the_dataset_are_measured(place, tmp_path):
    card = find(place, RUN, None).card
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    assert usual_sizes(tmp_path, card) == [(360, 360)]
    folder = tmp_path / data_folder("camvid")
    folder.mkdir(parents=True)
    label = np.zeros((21, 40), np.uint8)
    wide, tall = np.zeros((21, 40, 3), np.uint8), np.zeros((40, 21, 3), np.uint8)
    records = [("a", tall, label.T.copy()), ("b", wide, label), ("c", wide, label)]
    splits = {split: write_shards(folder, split, records, num_classes=11) for split in ("train", "report")}
    write_manifest(folder, "camvid", DATASETS["camvid"].classes, splits)
    assert usual_sizes(tmp_path, card) == [(360, 360), (11, 20)]  # images are halved, halves go up


def test_a_preset_without_a_crop_is_named(place, tmp_path):
    preset = tmp_path / "configs/datasets/camvid.yaml"
    preset.parent.mkdir(parents=True)
    card = find(place, RUN, None).card
    for text in ("images:\n", "images: {crop: [0, 5]}\n", "images: {crop: 3}\n", "data: {}\n"):
        preset.write_text(text)
        with pytest.raises(UserError, match=r"camvid.yaml: images.crop: .* --size HxW"):
            usual_sizes(tmp_path, card)


def test_a_file_is_run_with_as_many_threads_as_it_is_told(place, monkeypatch):
    import onnxruntime

    session, seen = onnxruntime.InferenceSession, []

    def opened(path, options, **given):
        seen.append(options.intra_op_num_threads)
        return session(path, options, **given)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    for threads in (None, 1, 2):
        open_file(place / "a.onnx", threads)
    assert seen == [0, 1, 2]


@pytest.mark.slow
def test_the_command_measures_every_form_at_every_size_and_says_nothing_else(place, tmp_path):
    words = (RUN, "--size", "32x48", "--size", "48x32", "--seconds", "0", "--out", tmp_path / "table.csv")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "bench", *map(str, words)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{place}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"{RUN}: exporting to ONNX",
        f"{RUN}: quantising to int8",
        f"written to {tmp_path / 'table.csv'}",
    ]
    lines = done.stdout.splitlines()
    assert lines[1].split()[:3] == ["form", "size", "threads"]
    assert len(lines) == 2 + 4 * 2 * len({1, cores()})
    assert sum(line.startswith("torch compiled") for line in lines) == 2 * len({1, cores()})
