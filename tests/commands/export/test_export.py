import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from tests.commands.typed import said
from tests.deployed import write_pictures, write_run
from tests.libraries import write_own
from tests.project import entered

from icsd.data.manifest import write_manifest
from icsd.data.shards import write_shards
from icsd.datasets import DATASETS
from icsd.datasets.reading.masks import read_ids
from icsd.deployment import writing
from icsd.deployment.card import KEY, Card
from icsd.deployment.exporting import torch_file
from icsd.deployment.runners import open_file
from icsd.models.weights import load_network
from icsd.runs import data_folder

pytestmark = pytest.mark.usefixtures("one_thread")
FORMATS = {
    "onnx": ("--to", "onnx"),
    "onnx-inside": ("--to", "onnx", "--with-preprocessing"),
    "torch": ("--to", "torch"),
    "torch-inside": ("--to", "torch", "--with-preprocessing"),
    "int8": ("--to", "int8"),
}


def typed(*words, name="export"):
    """Run a command in this process; return its output, or an error's message."""
    return said(name, *words)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run whose images are scaled, and images; exported in every format."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        write_own(folder, patch)
        write_run(folder, input_scale=0.5, name="python:own_networks:Mine")
        write_pictures(folder / "images", (72, 96), (72, 96), (50, 70))
        yield folder


@pytest.fixture(scope="module")
def exported(place):
    """Function from a format to its exported file and the command's output; exports each format once."""
    known = {}

    def get(name):
        if name not in known:
            file = place / f"{name}{'.pt2' if 'torch' in name else '.onnx'}"
            words = (place / "runs/camvid/kd/resnet18-0", *FORMATS[name], "--out", file)
            known[name] = file, typed(*words, "--images", place / "images")
        return known[name]

    return get


@pytest.mark.parametrize("name", FORMATS)
def test_an_exported_file_predicts_as_its_network(name, place, exported, tmp_path):
    file, printed = exported(name)
    assert printed.splitlines()[0].startswith(f"{file}: ")
    assert (
        len([line for line in printed.splitlines() if "of the pixels have the network's class" in line]) == 3
    )
    # A file that scales images itself rounds grey levels, and int8 rounds everything.
    bound = {"onnx": 0.999, "torch": 0.999, "int8": 0.6}.get(name, 0.99)
    run = place / "runs/camvid/kd/resnet18-0"
    for model, out in ((file, tmp_path / "file"), (run, tmp_path / "run")):
        typed(model, place / "images", "--out", out, "--batch", 2, name="predict")
    for each in ("0.png", "1.png", "2.png"):
        one, other = (read_ids(tmp_path / out / "masks" / each) for out in ("file", "run"))
        assert (one == other).mean() >= bound


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_says_what_goes_with_it(name, place, exported):
    card = open_file(exported(name)[0]).card
    camvid = DATASETS["camvid"]
    assert card == Card(
        dataset="camvid",
        network="kd · resnet18 · seed 0",
        classes=camvid.classes,
        palette=camvid.palette,
        input_scale=0.5,
        weights_sha256=card.weights_sha256,
        preprocessing="inside" if "inside" in name else "outside",
        precision="int8" if name == "int8" else "fp32",
        opset=None if "torch" in name else 18,
    )
    content = (place / "runs/camvid/kd/resnet18-0/train.json").read_text()
    assert card.weights_sha256 in content


def test_onnx_has_free_sizes_and_no_name_of_this_machine(exported):
    model = onnx.load(exported("onnx")[0])
    onnx.checker.check_model(model, full_check=True)
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 3, "height", "width"]
    inside = onnx.load(exported("onnx-inside")[0])
    dims = [dim.dim_param or dim.dim_value for dim in inside.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "height", "width", 3]
    assert {entry.version for entry in model.opset_import if not entry.domain} == {18}
    for name in ("onnx", "torch"):
        assert str(Path.cwd()).encode() not in exported(name)[0].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_network_as_the_grid_has_it_is_exported_in_every_format(name, tmp_path):
    run = write_run(tmp_path)
    images = write_pictures(tmp_path / "images", (72, 96), (72, 96))
    file = tmp_path / f"file{'.pt2' if 'torch' in name else '.onnx'}"
    printed = typed(run, *FORMATS[name], "--out", file, "--images", images)
    assert printed.count("of the pixels have the network's class") == 3


def test_int8_is_per_channel_and_leaves_the_logits_alone(exported):
    model = onnx.load(exported("int8")[0])
    nodes = list(model.graph.node)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in nodes}
    assert not {"Relu", "Clip"} & {node.op_type for node in nodes}, "an activation is a range"
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    scales = [
        tensors[n.input[1]].dims for n in nodes if n.op_type == "DequantizeLinear" and n.input[1] in tensors
    ]
    assert any(len(dims) == 1 and dims[0] > 8 for dims in scales), "one scale per channel"
    makers = {output: node for node in nodes for output in node.output}
    assert makers[model.graph.output[0].name].op_type == "Conv"
    kinds = [tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4]
    assert sorted(kinds) == [onnx.TensorProto.FLOAT, *2 * [onnx.TensorProto.INT8]]


def test_a_file_that_computes_something_else_is_not_kept(place, tmp_path, monkeypatch):
    def other(network, card):
        wrong = load_network(place / "runs/camvid/kd/resnet18-0/student.safetensors").eval()
        with torch.no_grad():
            next(reversed(list(wrong.parameters()))).add_(torch.linspace(0, 9, 11))
        return torch_file(wrong, card)

    monkeypatch.setattr(writing, "torch_file", other)
    out = tmp_path / "wrong.pt2"
    out.write_bytes(b"former")
    message = typed(
        place / "runs/camvid/kd/resnet18-0", "--to", "torch", "--out", out, "--images", place / "images"
    )
    assert "it was not kept" in message
    assert out.read_bytes() == b"former"
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.pt2"]


def test_mistakes_are_said_before_the_work(place, tmp_path, monkeypatch):
    run = place / "runs/camvid/kd/resnet18-0"
    assert "ends in .onnx" in typed(run, "--to", "onnx", "--out", tmp_path / "a.pt2")
    monkeypatch.chdir(tmp_path)
    assert "checked on real images" in typed(run, "--to", "onnx", "--out", "a.onnx")
    assert "is none of" in typed(place / "images/0.png", "--to", "onnx", "--out", "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_exported_again(exported, place, tmp_path):
    words = ("--to", "int8", "--out", tmp_path / "a.onnx", "--images", place / "images")
    message = typed(exported("onnx")[0], *words)
    assert "is an exported file already; name the network" in message
    assert not list(tmp_path.iterdir())


def test_an_image_that_cannot_be_read_is_named_with_its_folder(place, tmp_path):
    images = write_pictures(tmp_path / "images/deep", (72, 96))
    (images / "0.png").write_bytes(b"no image")
    words = ("--to", "torch", "--out", tmp_path / "a.pt2", "--images", tmp_path / "images")
    message = typed(place / "runs/camvid/kd/resnet18-0", *words)
    assert message.startswith(f"--images: {images / '0.png'}: cannot read image")


def test_a_missing_library_is_named(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    message = typed(
        place / "runs/camvid/kd/resnet18-0",
        *("--to", "onnx", "--out", tmp_path / "a.onnx", "--images", place / "images"),
    )
    assert "uv sync --extra deploy" in message
    assert not list(tmp_path.iterdir())


def prepare(root):
    """Prepare a tiny CamVid: two training images, one reported."""
    folder = root / data_folder("camvid")
    folder.mkdir(parents=True)
    files = sorted((root / "images").iterdir())
    label = np.zeros((72, 96), np.uint8)
    splits = {
        split: write_shards(
            folder,
            split,
            [(f"{split}{number}", np.array(Image.open(file)), label) for number, file in of],
            num_classes=11,
        )
        for split, of in (("train", [(0, files[0])]), ("report", [(1, files[1])]))
    }
    write_manifest(folder, "camvid", DATASETS["camvid"].classes, splits)


def test_images_come_from_the_training_split_and_never_from_the_reported_one(place, tmp_path, monkeypatch):
    shutil.copytree(place / "images", tmp_path / "images")
    prepare(tmp_path)
    run = place / "runs/camvid/kd/resnet18-0"
    seen = []

    def keep(exported, card, images):
        seen.append(images)
        return b""

    monkeypatch.setattr(writing, "int8_file", keep)
    with entered(tmp_path):
        typed(run, "--to", "int8", "--out", "a.onnx")
        message = typed(run, "--to", "int8", "--out", "a.onnx", "--images", "images/1.png")
    assert "1.png is of the reported split" in message
    assert len(seen) == 1
    [image] = seen[0]
    assert (image == np.array(Image.open(tmp_path / "images/0.png"))).all()


def test_damaged_exports_are_refused_in_words(exported, place, tmp_path):
    for name in ("onnx", "torch"):
        file = exported(name)[0]
        damaged = tmp_path / file.name
        damaged.write_bytes(file.read_bytes()[:5000])
        message = typed(damaged, place / "images", "--out", tmp_path / "out", name="predict")
        assert "is not a readable" in message
    model = onnx.load(exported("onnx")[0])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    assert "no export of this project" in typed(
        tmp_path / "bare.onnx", place / "images", "--out", tmp_path / "out", name="predict"
    )
    model.metadata_props.add(key=KEY, value="{}")
    onnx.save(model, tmp_path / "bare.onnx")
    assert "export the network again" in typed(
        tmp_path / "bare.onnx", place / "images", "--out", tmp_path / "out", name="predict"
    )


def test_predictions_of_a_network_and_of_its_files_do_not_mix(exported, place, tmp_path):
    """A file rounds as its runtime does, and 8 bits as they were calibrated."""
    words = (place / "images", "--out", tmp_path / "out")
    typed(exported("torch")[0], *words, name="predict")
    for other in (exported("int8")[0], place / "runs/camvid/kd/resnet18-0"):
        assert "another model" in typed(other, *words, name="predict")
    assert "3 already there" in typed(exported("torch")[0], *words, name="predict")


def test_a_file_that_is_no_program_is_refused_without_a_traceback(place, tmp_path, capfd):
    (tmp_path / "text.pt2").write_text("no program")
    torch.save({"a": 1}, tmp_path / "pickle.pt2")
    for name in ("text.pt2", "pickle.pt2"):
        message = typed(tmp_path / name, place / "images", "--out", tmp_path / "out", name="predict")
        assert f"{name} is not a readable .pt2 file" in message
        assert "warnings above" not in message
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_file_with_other_outputs_than_its_card_says_is_refused(exported, place, tmp_path):
    model = onnx.load(exported("onnx")[0])
    card = json.loads(model.metadata_props[0].value)
    card |= {"classes": card["classes"][:-1], "palette": card["palette"][:-1]}
    model.metadata_props[0].value = json.dumps(card)
    onnx.save(model, tmp_path / "wrong.onnx")
    message = typed(tmp_path / "wrong.onnx", place / "images", "--out", tmp_path / "out", name="predict")
    assert "the file has 10 classes by its card, and returns [2, 11, " in message
    assert not (tmp_path / "out/masks").exists()


def test_a_file_of_another_dataset_is_refused(exported, place, tmp_path):
    words = (exported("onnx")[0], place / "images", "--out", tmp_path / "out", "--dataset", "voc2012")
    assert "says that it was trained on camvid" in typed(*words, name="predict")
    assert not (tmp_path / "out").exists()
