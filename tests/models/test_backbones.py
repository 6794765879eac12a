import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from icsd.models.backbones import BACKBONES, Backbone, scaled

RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101"]


def dilations(module: nn.Module) -> list[int]:
    """Dilation of every 3x3 convolution."""
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return [int(c.dilation[0]) for c in convs if c.kernel_size == (3, 3)]


def resnet_stages(reference: nn.Module, images: Tensor) -> list[Tensor]:
    x = reference.get_submodule("maxpool")(reference.bn1(reference.conv1(images)).relu())  # type: ignore[operator]
    stages = []
    for index in range(1, 5):
        x = reference.get_submodule(f"layer{index}")(x)
        stages.append(x)
    return stages


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_without_dilation_a_resnet_is_torchvisions(name: str) -> None:
    reference = models.get_model(name, weights=None).eval()
    ours = BACKBONES[name](output_stride=32).eval()
    ours.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, stages = resnet_stages(reference, images), ours(images)
    for index, stage in enumerate(expected, start=1):
        torch.testing.assert_close(F.relu(stages[f"stage{index}"]), stage)
        assert (stages[f"stage{index}"] < 0).any()  # it is the value before the ReLU


def test_without_dilation_mobilenet_is_torchvisions() -> None:
    reference = models.mobilenet_v2(weights=None).eval()
    ours = BACKBONES["mobilenetv2"](output_stride=32).eval()
    wanted = ours.state_dict()
    ours.load_state_dict({k: v for k, v in reference.state_dict().items() if k in wanted})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        stages = ours(images)
        for index, end in enumerate((4, 7, 14, 18), start=1):
            torch.testing.assert_close(stages[f"stage{index}"], reference.features[:end](images))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("output_stride", "strides"), [(16, (4, 8, 16, 16)), (8, (4, 8, 8, 8))])
def test_output_stride_and_channels(name: str, output_stride: int, strides: tuple[int, ...]) -> None:
    backbone = BACKBONES[name](width=0.125, output_stride=output_stride).eval()
    with torch.no_grad():
        stages = backbone(torch.zeros(1, 3, 64, 96))
    assert list(stages) == list(backbone.channels) == ["stage1", "stage2", "stage3", "stage4"]
    for (tap, stage), stride in zip(stages.items(), strides, strict=True):
        assert stage.shape == (1, backbone.channels[tap], 64 // stride, 96 // stride)


def test_basic_blocks_are_dilated_in_all_convolutions() -> None:
    deep = BACKBONES["resnet18"](width=0.125)
    assert dilations(deep.get_submodule("layer4")) == [2, 2, 2, 2]
    assert set(dilations(deep.get_submodule("layer3"))) == {1}
    deeper = BACKBONES["resnet18"](width=0.125, output_stride=8)
    assert set(dilations(deeper.get_submodule("layer3"))) == {2}
    assert set(dilations(deeper.get_submodule("layer4"))) == {4}


@pytest.mark.parametrize(("output_stride", "expected"), [(16, [2, 4, 8]), (8, [4, 8, 16]), (32, [1, 1, 1])])
def test_bottlenecks_use_the_multi_grid(output_stride: int, expected: list[int]) -> None:
    backbone = BACKBONES["resnet50"](width=0.125, output_stride=output_stride)
    assert dilations(backbone.get_submodule("layer4")) == expected


def test_mobilenet_dilates_after_the_stride_it_lost() -> None:
    assert dilations(BACKBONES["mobilenetv2"]())[-4:] == [1, 2, 2, 2]
    assert dilations(BACKBONES["mobilenetv2"](output_stride=8))[-11:] == [1, 2, 2, 2, 2, 2, 2, 2, 4, 4, 4]


def test_dilation_does_not_change_the_parameters() -> None:
    plain, dilated = (BACKBONES["mobilenetv2"](output_stride=stride) for stride in (32, 8))
    assert {k: v.shape for k, v in plain.state_dict().items()} == {
        k: v.shape for k, v in dilated.state_dict().items()
    }


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(64, 1.0, 64), (64, 0.25, 16), (48, 0.25, 16), (64, 0.01, 8), (48, 0.5, 24)],
)
def test_scaled_channels_are_multiples_of_eight(channels: int, width: float, expected: int) -> None:
    assert scaled(channels, width) == expected


@pytest.mark.parametrize("name", RESNETS)
def test_a_resnet_starts_like_torchvisions(name: str) -> None:
    backbone: Backbone = BACKBONES[name](width=0.5)
    conv = backbone.get_submodule("layer4.0.conv2")
    assert isinstance(conv, nn.Conv2d)
    fan_out = conv.out_channels * 9
    assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
