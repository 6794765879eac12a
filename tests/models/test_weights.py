import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from icsd.errors import UserError
from icsd.models.contract import Architecture
from icsd.models.deeplab import build_network
from icsd.models.weights import load_network, save_weights


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2"])
def test_a_network_comes_back_bit_for_bit(tmp_path: Path, backbone: str) -> None:
    model = build_network(backbone, num_classes=4, width=0.125, output_stride=8)
    model(torch.randn(2, 3, 32, 32))  # moves the running statistics
    save_weights(model, tmp_path / "deep" / "model.safetensors")
    loaded = load_network(tmp_path / "deep" / "model.safetensors")
    assert loaded.architecture == Architecture(backbone=backbone, num_classes=4, width=0.125, output_stride=8)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_memory_format_does_not_change_the_file(tmp_path: Path) -> None:
    model = build_network("resnet18", num_classes=4, width=0.125)
    save_weights(model, tmp_path / "plain.safetensors")
    save_weights(model.to(memory_format=torch.channels_last), tmp_path / "last.safetensors")
    assert (tmp_path / "plain.safetensors").read_bytes() == (tmp_path / "last.safetensors").read_bytes()


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    model = build_network("resnet18", num_classes=4, width=0.125)
    for i in range(8):  # safetensors orders metadata at random, anew for every file
        save_weights(model, tmp_path / f"{i}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_nothing_else_is_left_behind(tmp_path: Path) -> None:
    model = build_network("resnet18", num_classes=4, width=0.125)
    for _ in range(2):
        save_weights(model, tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_network("resnet18", num_classes=4, width=0.125)
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", _disk_full)  # where a full disk shows at the latest
    with pytest.raises(OSError, match="full"):
        save_weights(build_network("resnet18", num_classes=5, width=0.125), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _disk_full(_: int) -> None:
    raise OSError("disk full")


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no network at .*gone\.safetensors"):
        load_network(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("length", [0, 500, -1])
def test_a_truncated_file_is_named(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(build_network("resnet18", num_classes=4, width=0.125), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"model\.safetensors is not a readable safetensors file"):
        load_network(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"architecture": "{}"},
        {"architecture": "not json"},
        {"architecture": '{"backbone": "vgg", "num_classes": 4}'},
        {"architecture": '{"backbone": "resnet18", "num_classes": 4}'},
    ],
)
def test_a_file_of_something_else_is_named(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(UserError, match="does not hold a network of this project"):
        load_network(path)
