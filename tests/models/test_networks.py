"""Networks of libraries, behind one contract."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.libraries import CLASSES, of_library, of_timm, write_own, write_segformer

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.errors import UserError
from icsd.models.contract import Architecture
from icsd.models.cost import flops
from icsd.models.efficientnet_lite import EfficientNetLite
from icsd.models.networks import new_network, widths_of
from icsd.models.weights import load_network, save_weights
from icsd.training.optim import build_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")
STAGES = ["stage1", "stage2", "stage3", "stage4"]
ALL = [*STAGES, "aspp", "decoder", "logits"]
NETWORKS = {
    "timm:test_resnet": (of_timm("test_resnet"), ALL),
    "timm:test_convnext": (of_timm("test_convnext", output_stride=32), ALL),
    "smp:unet/resnet18": (of_library("smp:unet/resnet18"), [*STAGES, "decoder", "logits"]),
    "smp:deeplabv3plus": (of_library("smp:deeplabv3plus/tu-test_resnet", output_stride=16), ALL),
    "smp:pspnet": (
        of_library("smp:pspnet/tu-test_resnet"),
        ["stage1", "stage2", "aspp", "decoder", "logits"],
    ),
    "smp:segformer": (of_library("smp:segformer/mit_b0"), [*STAGES, "decoder", "logits"]),
    "torchvision": (of_library("torchvision:lraspp_mobilenet_v3_large"), [*STAGES, "logits"]),
    "hf": (of_library("hf"), [*STAGES, "logits"]),
    "hf, told of its decoder": (
        of_library("hf", taps={"decoder": "decode_head.activation"}),
        [*STAGES, "decoder", "logits"],
    ),
    "python": (of_library("python:own_networks:Mine"), ["logits"]),
    "python, told of its maps": (
        of_library("python:own_networks:Mine", taps={"stage1": "encoder.2", "decoder": "encoder"}),
        ["stage1", "decoder", "logits"],
    ),
    "python, with taps": (of_library("python:own_networks:with_taps"), ["stage2", "logits"]),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    with pytest.MonkeyPatch.context() as patch:
        write_own(folder, patch)
        yield write_segformer(folder / "tiny")


def described(name: str, places: str) -> Architecture:
    architecture = NETWORKS[name][0]
    return replace(architecture, name=places) if architecture.name == "hf" else architecture


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_the_contract(name, places, tmp_path):
    architecture = described(name, places)
    torch.manual_seed(0)
    network = new_network(architecture)
    taps = network(torch.randn(2, 3, 64, 96))
    assert list(taps) == NETWORKS[name][1]
    assert {tap: value.shape[1] for tap, value in taps.items()} == network.channels
    assert network.channels["logits"] == CLASSES
    save_weights(network, tmp_path / "network.safetensors")
    network.eval()
    images = torch.randn(1, 3, 64, 64)
    loaded = load_network(tmp_path / "network.safetensors").eval()
    assert torch.equal(loaded(images)["logits"], network(images)["logits"])
    assert flops(network, (3, 64, 64)) > 0
    optimizer = build_optimizer(
        network,
        None,
        name="adamw",
        lr=0.1,
        head_lr_factor=0.1,
        momentum=0.1,
        nesterov=False,
        weight_decay=0.1,
    )
    backbone, head = (sum(p.numel() for p in group["params"]) for group in optimizer.param_groups)
    assert backbone > 0 < head


@pytest.mark.parametrize("name", ["smp:unet/resnet18", "torchvision", "hf", "python"])
def test_sizes_that_a_network_cannot_take_are_padded_and_cropped(name, places):
    network = new_network(described(name, places)).eval()
    with torch.no_grad():
        taps = network(torch.randn(1, 3, 45, 67))
    assert taps["stage1" if "stage1" in taps else "logits"].shape[-2:] in {(12, 17), (6, 9)}
    if name.startswith("smp"):
        assert taps["logits"].shape[-2:] == (45, 67)


def test_padding_changes_nothing_where_an_image_fits():
    network = new_network(of_library("smp:fpn/tu-test_resnet")).eval()
    images = torch.randn(1, 3, 64, 64)
    whole = torch.nn.functional.pad(images[..., :45, :61], [0, 3, 0, 19])
    with torch.no_grad():
        cropped = network(images[..., :45, :61])["logits"]
        full = torch.nn.functional.interpolate(
            network(whole)["logits"], (64, 64), mode="bilinear", align_corners=True
        )
    torch.testing.assert_close(cropped, full[..., :45, :61])


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(backbone="resnet18", num_classes=4, width=0.125),
        Architecture(backbone="efficientnet_lite0", num_classes=4, width=0.125),
        of_library("smp:fpn/tu-test_resnet"),
    ],
)
def test_a_normalisation_of_its_own_is_part_of_the_network(architecture, tmp_path):
    mean, std = (0.2, 0.4, 0.5), (0.5, 0.25, 0.3)
    pixels = torch.rand(1, 3, 64, 64)
    given = normalised(pixels, IMAGENET_MEAN, IMAGENET_STD)
    torch.manual_seed(0)
    own = new_network(replace(architecture, normalisation=(mean, std))).eval()
    torch.manual_seed(0)
    plain = new_network(architecture).eval()
    if architecture.backbone == "efficientnet_lite0":
        backbone = plain.get_submodule("backbone")
        assert isinstance(backbone, EfficientNetLite)
        backbone.normalise = torch.nn.Identity()  # its own is replaced
    with torch.no_grad():
        expected = plain(normalised(pixels, mean, std))["logits"]
        torch.testing.assert_close(own(given)["logits"], expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(plain(given)["logits"], expected, atol=1e-3)
        save_weights(own, tmp_path / "own.safetensors")
        loaded = load_network(tmp_path / "own.safetensors").eval()
        assert torch.equal(loaded(given)["logits"], own(given)["logits"])


def normalised(pixels, mean, std):
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def test_a_file_of_a_default_network_says_what_it_always_said(tmp_path):
    network = new_network(Architecture(backbone="resnet18", num_classes=4, width=0.125))
    save_weights(network, tmp_path / "n.safetensors")
    with safe_open(tmp_path / "n.safetensors", framework="pt") as file:
        header = file.metadata()["architecture"]
    assert header == '{"backbone": "resnet18", "num_classes": 4, "output_stride": 16, "width": 0.125}'


def test_a_head_has_a_width_of_its_own(tmp_path):
    architecture = Architecture(backbone="resnet18", num_classes=4, width=0.25, head_width=0.125)
    network = new_network(architecture).eval()
    plain = new_network(replace(architecture, head_width=None))
    assert network.channels == plain.channels | {"aspp": 32, "decoder": 32}
    save_weights(network, tmp_path / "n.safetensors")
    loaded = load_network(tmp_path / "n.safetensors").eval()
    assert loaded.architecture == architecture
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(pixels)["logits"], network(pixels)["logits"])


def test_a_file_names_no_folder_of_this_machine(places, tmp_path):
    network = new_network(of_library(places))
    save_weights(network, tmp_path / "n.safetensors")
    with safe_open(tmp_path / "n.safetensors", framework="pt") as file:
        header = file.metadata()["architecture"]
    assert json.loads(header)["name"] == "hf:tiny"
    assert places.removeprefix("hf:") not in header


def test_the_weights_of_a_folder_are_loaded_where_asked_for(places):
    import transformers

    folder = places.removeprefix("hf:")
    stored = transformers.SegformerForSemanticSegmentation.from_pretrained(folder).segformer.state_dict()
    loaded, fresh = (
        new_network(of_library(places), pretrained=wanted).get_submodule("network.segformer").state_dict()
        for wanted in (True, False)
    )
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(value, stored[key]) for key, value in loaded.items())
    assert not all(torch.equal(value, stored[key]) for key, value in fresh.items())


@pytest.mark.parametrize("part", ["encoder", "whole"])
def test_a_file_of_weights_is_that_of_the_network_or_of_its_encoder(part, tmp_path):
    place = "network.encoder" if part == "encoder" else "network"
    state = new_network(of_library("smp:fpn/tu-test_resnet")).get_submodule(place).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    network = new_network(of_library("smp:fpn/tu-test_resnet"), pretrained=str(tmp_path / "w.safetensors"))
    own = network.get_submodule(place).state_dict()
    assert all(torch.equal(value, own[key]) for key, value in state.items())


def test_a_file_of_other_weights_is_refused(tmp_path):
    save_file({"conv1.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"pretrained: the weights from .* do not belong to smp:fpn"):
        new_network(of_library("smp:fpn/tu-test_resnet"), pretrained=str(tmp_path / "w.safetensors"))


def test_timm_starts_from_a_file_of_the_whole_network(tmp_path):
    import timm

    whole = timm.create_model("test_resnet", pretrained=False)
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    network = new_network(of_timm("test_resnet"), pretrained=str(tmp_path / "w.safetensors"))
    own = network.get_submodule("backbone.network").state_dict()
    assert torch.equal(own["layer1.0.conv1.weight"], whole.state_dict()["layer1.0.conv1.weight"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smp:unt/resnet18", "no architecture 'unt'; did you mean 'unet'"),
        ("smp:unet/resnet19", "no encoder 'resnet19'; it has resnet18"),
        ("torchvision:fcn", "no such segmentation model; Allowed: deeplabv3"),
        ("python:nowhere_at_all:Net", "cannot import nowhere_at_all"),
        ("python:own_networks:Net", "own_networks has no Net; .*Mine"),
        ("python:own_networks:nn", r"own_networks has no nn|nn\(5\) failed"),
        ("hf:./nowhere", "no semantic segmentation model"),
    ],
)
def test_what_there_is_not_is_named(name, words, places):
    with pytest.raises(UserError, match=rf"^networks\.students\.mine: {name}.*{words}"):
        new_network(of_library(name), setting="networks.students.mine")


@pytest.mark.parametrize(
    ("taps", "words"),
    [
        ({"decoder": "encoder.7"}, r"taps\.decoder: there is no module 'encoder\.7'; there is .*encoder\.1"),
        ({"decoder": "nothing"}, r"no module 'nothing'; there is encoder, head"),
    ],
)
def test_a_tap_without_a_module_is_named(taps, words, places):
    with pytest.raises(UserError, match=words):
        new_network(of_library("python:own_networks:Mine", taps=taps))


def test_a_backbone_that_cannot_be_dilated_says_so():
    with pytest.raises(UserError, match=r"strides \[4, 8, 16, 32\].*output_stride: 32|cannot be dilated"):
        new_network(of_timm("swin_tiny_patch4_window7_224", output_stride=16))
    with pytest.raises(UserError, match=r"timm .* has no such network"):
        new_network(of_timm("test_resnot"))


def test_a_crop_that_a_network_cannot_take_is_named():
    with pytest.raises(UserError, match=r"cannot take images of 32 × 32 \(images\.crop\)"):
        widths_of(of_library("smp:pan/tu-test_resnet"), crop=(32, 32), setting="networks.teacher")


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(UserError, match=r"needs the package segmentation-models-pytorch.*--extra networks"):
        new_network(of_library("smp:unet/resnet18"))


def test_a_file_whose_library_is_missing_says_so(tmp_path, monkeypatch):
    save_weights(new_network(of_library("smp:fpn/tu-test_resnet")), tmp_path / "n.safetensors")
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(UserError, match=r"^.*n\.safetensors: smp:fpn/tu-test_resnet: needs the package"):
        load_network(tmp_path / "n.safetensors")


def test_logits_of_another_number_of_classes_are_refused(tmp_path, monkeypatch):
    file = write_own(tmp_path, monkeypatch, module="wrong_networks")
    file.write_text(file.read_text().replace("nn.Conv2d(16, num_classes, 1)", "nn.Conv2d(16, 7, 1)"))
    with pytest.raises(UserError, match="the logits must have 5 channels, one per class; there are 7"):
        new_network(of_library("python:wrong_networks:Mine"))
