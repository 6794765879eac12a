from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from icsd.errors import UserError
from icsd.models.backbones import BACKBONES
from icsd.models.deeplab import build_network
from icsd.models.imagenet import PACKAGES, WEIGHTS, check_imagenet


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


def test_published_weights_need_width_one() -> None:
    message = r"networks\.pretrained.* width 1 only.*width 0\.5.*pretrained: false"
    with pytest.raises(UserError, match=message):
        build_network("resnet18", num_classes=2, width=0.5, pretrained=True)
    with pytest.raises(UserError, match=message):
        check_imagenet("resnet18", True, width=0.5)


def test_a_file_may_be_of_any_width(tmp_path: Path) -> None:
    narrow = build_network("resnet18", num_classes=2, width=0.125).backbone.state_dict()
    torch.save(narrow, tmp_path / "narrow.pth")
    filled = build_network("resnet18", num_classes=2, width=0.125, pretrained=str(tmp_path / "narrow.pth"))
    assert torch.equal(filled.backbone.state_dict()["conv1.weight"], narrow["conv1.weight"])
    with pytest.raises(UserError, match="do not fit resnet18: size mismatch"):
        build_network("resnet18", num_classes=2, width=0.25, pretrained=str(tmp_path / "narrow.pth"))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2"])
def test_a_file_is_checked_without_a_network_to_fill(published: Path, name: str) -> None:
    check_imagenet(name, str(published / f"{name}.pth"), width=1.0)
    other = "mobilenetv2" if name == "resnet18" else "resnet18"
    with pytest.raises(UserError, match=rf"networks\.teacher\.pretrained: .* do not belong to {name}"):
        check_imagenet(
            name, str(published / f"{other}.pth"), width=1.0, setting="networks.teacher.pretrained"
        )


def test_weights_that_are_not_finite_are_refused(published: Path, tmp_path: Path) -> None:
    state = torch.load(published / "resnet18.pth", weights_only=True)
    state["layer1.0.bn1.weight"][3] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(UserError, match=r"NaN or infinity, in layer1\.0\.bn1\.weight"):
        check_imagenet("resnet18", str(tmp_path / "nan.pth"), width=1.0)


@pytest.mark.parametrize("name", ["weights", "weights.pth"])
def test_a_folder_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is a folder; name the file in it"):
        check_imagenet("resnet18", str(tmp_path / name), width=1.0)


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n", "pointer of Git LFS"),
        (b"\n<!doctype html><html>404</html>", "web page"),
        (b"neither", r"damaged, or has other objects.*state_dict\(\)"),
    ],
)
def test_what_is_no_weights_file_is_called_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=rf"w\.pth cannot be read \(.*{said}") as caught:
        build_network("resnet18", num_classes=2, pretrained=str(tmp_path / "w.pth"))
    assert "weights_only" not in str(caught.value)  # torch's own advice, to run the code in the file


def test_a_whole_network_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    torch.save(models.mobilenet_v2(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"other objects than tensors in it; save `network\.state_dict\(\)`"):
        build_network("resnet18", num_classes=2, pretrained=str(tmp_path / "w.pth"))


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
