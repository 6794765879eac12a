from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from icsd.errors import UserError
from icsd.models.backbones import BACKBONES
from icsd.models.deeplab import build_network
from icsd.models.imagenet import PACKAGES, WEIGHTS


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as torchvision publishes them, classifier included, with random numbers inside."""
    folder = tmp_path_factory.mktemp("imagenet")
    for name, network in (("resnet18", models.resnet18()), ("mobilenetv2", models.mobilenet_v2())):
        torch.save(network.state_dict(), folder / f"{name}.pth")
        save_file(network.state_dict(), folder / f"{name}.safetensors")
    return folder


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_local_file_fills_the_backbone(published: Path, name: str, suffix: str) -> None:
    model = build_network(name, num_classes=2, pretrained=str(published / f"{name}{suffix}"))
    expected = torch.load(published / f"{name}.pth", weights_only=True)
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, expected[key])


def test_old_files_without_batch_counters_load(published: Path, tmp_path: Path) -> None:
    state = torch.load(published / "resnet18.pth", weights_only=True)
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "old.pth")
    model = build_network("resnet18", num_classes=2, pretrained=str(tmp_path / "old.pth"))
    assert torch.equal(model.backbone.state_dict()["conv1.weight"], state["conv1.weight"])


def test_every_backbone_has_published_weights() -> None:
    assert WEIGHTS.keys() | PACKAGES.keys() == BACKBONES.keys()
    assert all("IMAGENET1K_V1" in str(weights) for weights in WEIGHTS.values())


@pytest.mark.parametrize("pretrained", [True, "weights.pth"])
def test_weights_need_width_one(pretrained: bool | str) -> None:
    with pytest.raises(
        UserError, match=r"networks\.pretrained.* width 1 only.*width 0\.5.*pretrained: false"
    ):
        build_network("resnet18", num_classes=2, width=0.5, pretrained=pretrained)


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        models._api.WeightsEnum, "url", "http://127.0.0.1:9/resnet18.pth"
    )  # nothing listens there
    with pytest.raises(
        UserError, match=r"could not get torchvision's weights of resnet18.*local file.*`false`"
    ):
        build_network("resnet18", num_classes=2, pretrained=True)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"there is no file nowhere/weights\.pth.*train from scratch"):
        build_network("resnet18", num_classes=2, pretrained="nowhere/weights.pth")


def test_a_file_of_another_kind_is_named() -> None:
    with pytest.raises(UserError, match=r"weights\.onnx is not a weights file"):
        build_network("resnet18", num_classes=2, pretrained="weights.onnx")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("length", [0, 1000])
def test_a_damaged_file_is_named(published: Path, tmp_path: Path, suffix: str, length: int) -> None:
    path = tmp_path / f"cut{suffix}"
    path.write_bytes((published / f"resnet18{suffix}").read_bytes()[:length])
    with pytest.raises(UserError, match=rf"cut{suffix} cannot be read"):
        build_network("resnet18", num_classes=2, pretrained=str(path))


def test_weights_of_another_network_are_refused(published: Path) -> None:
    with pytest.raises(UserError, match=r"do not belong to resnet18: \d+ missing.*unknown"):
        build_network("resnet18", num_classes=2, pretrained=str(published / "mobilenetv2.pth"))


def test_weights_of_another_shape_are_refused(published: Path, tmp_path: Path) -> None:
    state = torch.load(published / "resnet18.pth", weights_only=True)
    torch.save({k: v[:8] if k == "conv1.weight" else v for k, v in state.items()}, tmp_path / "thin.pth")
    with pytest.raises(UserError, match=r"do not fit resnet18: size mismatch for conv1\.weight"):
        build_network("resnet18", num_classes=2, pretrained=str(tmp_path / "thin.pth"))


def test_a_training_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}, "epoch": 3}, tmp_path / "checkpoint.pth")
    with pytest.raises(UserError, match="plain dictionary of tensors"):
        build_network("resnet18", num_classes=2, pretrained=str(tmp_path / "checkpoint.pth"))
