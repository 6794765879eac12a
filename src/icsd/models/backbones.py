"""Backbones as feature extractors: four named stages, the last ones dilated instead of strided.

The networks are torchvision's, with torchvision's parameter names, so its ImageNet weights load unchanged.
EfficientNet-Lite is in ``efficientnet_lite.py``.
"""

from collections.abc import Callable, Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from icsd.models import catalogue
from icsd.models.efficientnet_lite import EfficientNetLite

MULTI_GRID = (1, 2, 4)


class PreReluBasicBlock(BasicBlock):  # type: ignore[misc]  # torchvision ships no types
    """torchvision's block with the final ReLU moved to the start of the modules that read its output."""

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both branches, before the ReLU that torchvision's block ends with."""
        x = F.relu(x)
        branch: Tensor = F.relu(self.bn1(self.conv1(x)), inplace=True)
        branch = self.bn2(self.conv2(branch))
        return branch + (x if self.downsample is None else self.downsample(x))


class PreReluBottleneck(Bottleneck):  # type: ignore[misc]  # torchvision ships no types
    """torchvision's block with the final ReLU moved to the start of the modules that read its output."""

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both branches, before the ReLU that torchvision's block ends with."""
        x = F.relu(x)
        branch: Tensor = F.relu(self.bn1(self.conv1(x)), inplace=True)
        branch = F.relu(self.bn2(self.conv2(branch)), inplace=True)
        branch = self.bn3(self.conv3(branch))
        return branch + (x if self.downsample is None else self.downsample(x))


class ResNet(nn.Module):
    """A ResNet whose stages return their output before the last ReLU.

    Dilation follows the released DeepLabV3+: in a stage that lost its stride every 3x3 convolution is
    dilated, including the first block's, and the last stage of bottleneck networks multiplies its rate by the
    multi-grid (1, 2, 4).

    Args:
        block: One of the two blocks above.
        depths: Blocks per stage.
        width: Factor on all channel counts.
        output_stride: 8, 16, or 32 (no dilation: the classification network).
    """

    def __init__(
        self,
        block: type[PreReluBasicBlock] | type[PreReluBottleneck],
        depths: Sequence[int],
        *,
        width: float = 1.0,
        output_stride: int = 16,
    ) -> None:
        super().__init__()
        self.activation: nn.Module = nn.ReLU()
        inputs = scaled(64, width)
        self.conv1 = nn.Conv2d(3, inputs, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.channels: dict[str, int] = {}
        rates = {8: (1, 1, 2, 4), 16: (1, 1, 1, 2), 32: (1, 1, 1, 1)}[output_stride]
        for index, (depth, rate) in enumerate(zip(depths, rates, strict=True), start=1):
            planes = scaled(32 * 2**index, width)
            stage = _resnet_stage(block, inputs, planes, depth, stride=1 if index == 1 or rate > 1 else 2)
            grid = MULTI_GRID if index == 4 and block is PreReluBottleneck and rate > 1 else (1,) * depth
            for member, factor in zip(stage, grid, strict=True):
                _dilate(member, rate * factor)
            self.add_module(f"layer{index}", stage)
            inputs = self.channels[f"stage{index}"] = planes * block.expansion
        _initialise(self)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """``stage1`` (stride 4) to ``stage4`` (the output stride), each before its last ReLU."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        stages = {}
        for index in range(1, 5):
            x = stages[f"stage{index}"] = self.get_submodule(f"layer{index}")(x)
        return stages


class MobileNetV2(nn.Module):
    """MobileNetV2 without its last 1x1 convolution; its stages are block outputs, which are linear.

    Dilation is the standard à-trous rule: the convolution that loses its stride keeps the current rate, and
    all later ones double it. The released code differs: it leaves the whole 160-channel stage undilated (only
    the 320-channel block has rate 2) and pads before the expansion instead of inside the depthwise
    convolution, whose borders are then not zero.

    Args:
        width: Factor on all channel counts (torchvision's ``width_mult``).
        output_stride: 8, 16, or 32 (no dilation).
    """

    ENDS = (3, 6, 13, 17)  # the last block at stride 4, 8, 16 and the output stride

    def __init__(self, *, width: float = 1.0, output_stride: int = 16) -> None:
        super().__init__()
        self.activation: nn.Module = nn.Identity()
        self.features: nn.Sequential = mobilenet_v2(num_classes=1, width_mult=width).features[:-1]
        self.channels = {f"stage{i}": self.features[end].out_channels for i, end in enumerate(self.ENDS, 1)}
        rate, stride = 1, 2
        for block in self.features[1:]:
            depthwise = next(m for m in block.modules() if isinstance(m, nn.Conv2d) and m.groups > 1)
            _dilate(depthwise, rate)
            if depthwise.stride == (2, 2) and stride == output_stride:
                depthwise.stride = (1, 1)
                rate *= 2
            elif depthwise.stride == (2, 2):
                stride *= 2

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """``stage1`` (24 channels at width 1, stride 4) to ``stage4`` (320 channels, the output stride)."""
        x, stages = images, {}
        for index, block in enumerate(self.features):
            x = block(x)
            if index in self.ENDS:
                stages[f"stage{self.ENDS.index(index) + 1}"] = x
        return stages


Backbone = ResNet | MobileNetV2 | EfficientNetLite
_KINDS: dict[str, Callable[..., Backbone]] = {
    "basic": partial(ResNet, PreReluBasicBlock),
    "bottleneck": partial(ResNet, PreReluBottleneck),
    "mobilenetv2": MobileNetV2,
    "efficientnet_lite": EfficientNetLite,
}
BACKBONES: dict[str, Callable[..., Backbone]] = {
    name: partial(_KINDS[entry.kind], **entry.options) for name, entry in catalogue.BACKBONES.items()
}


def scaled(channels: int, width: float) -> int:
    """``channels * width``, rounded to a multiple of 8 and at least 8."""
    return max(8, int(channels * width / 8 + 0.5) * 8)


def _resnet_stage(
    block: type[PreReluBasicBlock] | type[PreReluBottleneck],
    inputs: int,
    planes: int,
    depth: int,
    *,
    stride: int,
) -> nn.Sequential:
    outputs = planes * block.expansion
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))
    rest = [block(outputs, planes) for _ in range(depth - 1)]
    return nn.Sequential(block(inputs, planes, stride, downsample), *rest)


def _dilate(module: nn.Module, rate: int) -> None:
    # Set afterwards, because torchvision's BasicBlock and InvertedResidual take no dilation.
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
            conv.dilation = conv.padding = (rate, rate)


def _initialise(module: nn.Module) -> None:
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
