"""DeepLabV3+ (Chen et al., ECCV 2018), with its feature maps available by name."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.errors import UserError, did_you_mean
from icsd.models.backbones import BACKBONES, Backbone, scaled
from icsd.models.contract import Architecture, Network, Normalisation, renormalise
from icsd.models.efficientnet_lite import EfficientNetLite
from icsd.models.imagenet import load_imagenet
from icsd.models.names import TIMM, split
from icsd.models.timm_backbones import TimmBackbone

RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36)}
"""Maps output stride to the pyramid's dilations, whose receptive field in the image is the same for all."""
DROPOUT = 0.5  # of the published head, for maps of 256 channels


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a batch of one pooled 1x1 map.

    One value per channel has no variance, and torch raises an error. Such a map is normalised with the
    running statistics, as in evaluation, which are not updated.
    """

    def forward(self, input: Float[Tensor, "B K h w"]) -> Float[Tensor, "B K h w"]:
        """The normalised map."""
        if self.training and input.numel() == input.size(1):
            return F.batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        return super().forward(input)


def conv_bn(inputs: int, outputs: int, *, kernel: int = 1, rate: int = 1) -> nn.Sequential:
    """A size-preserving convolution without bias, followed by batch normalisation."""
    padding = rate * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class ASPP(nn.Module):
    """À-trous spatial pyramid pooling: five branches over one map, projected to ``outputs`` channels."""

    def __init__(self, inputs: int, outputs: int, *, rates: tuple[int, ...]) -> None:
        super().__init__()
        dilated = [conv_bn(inputs, outputs, kernel=3, rate=rate) for rate in rates]
        self.branches = nn.ModuleList([conv_bn(inputs, outputs), *dilated])
        self.pool = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), PooledBatchNorm(outputs))
        self.project = conv_bn((len(rates) + 2) * outputs, outputs)

    def forward(self, x: Float[Tensor, "B K h w"]) -> Float[Tensor, "B L h w"]:
        """The projection after its ReLU."""
        maps = [F.relu(branch(x)) for branch in self.branches]
        # Bilinear upsampling of one pixel is that pixel everywhere.
        maps.append(F.relu(self.pool(x.mean(dim=(2, 3), keepdim=True))).expand_as(maps[0]))
        return F.relu(self.project(torch.cat(maps, dim=1)))


class Decoder(nn.Module):
    """Low-level features and the upsampled pyramid, fused at stride 4."""

    def __init__(self, low_level: int, inputs: int, *, reduced: int, dropout: float) -> None:
        super().__init__()
        self.reduce = conv_bn(low_level, reduced)
        self.fuse = conv_bn(reduced + inputs, inputs, kernel=3)
        self.refine = conv_bn(inputs, inputs, kernel=3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, low_level: Float[Tensor, "B K h w"], pyramid: Float[Tensor, "B L _ _"]) -> Tensor:
        """The last 3x3 convolution's normalised output, before its ReLU."""
        reduced = F.relu(self.reduce(low_level))
        size = low_level.shape[-2:]
        pyramid = F.interpolate(pyramid, size, mode="bilinear", align_corners=True)
        fused = F.relu(self.fuse(torch.cat([pyramid, reduced], dim=1)))
        refined: Tensor = self.refine(self.dropout(fused))
        return refined


class DeepLabV3Plus(Network):
    """DeepLabV3+ that returns its feature maps by name ("taps").

    No convolution except the classifier has a bias. ``width`` scales the backbone and the head (256 and 48
    channels). ImageNet weights fill ``backbone``; ``aspp``, ``decoder`` and ``classifier`` are the head.

    ``head_width`` is a separate factor for the head. It keeps the head cheap on a backbone whose weights
    exist at width 1 only. A backbone of timm has a fixed width, so ``width`` scales only the head.

    Args:
        architecture: What it is built from.
        dropout: See ``build_network``; not part of the architecture.
        pretrained: Weights of a timm backbone, which loads them itself; see ``TimmBackbone``.
    """

    def __init__(
        self, architecture: Architecture, *, dropout: float = DROPOUT, pretrained: bool | str = False
    ) -> None:
        super().__init__()
        self.architecture = architecture
        width, stride = architecture.width, architecture.output_stride or 16
        head_width = width if architecture.head_width is None else architecture.head_width
        head = scaled(256, head_width)
        self.normalise = renormalise(architecture.normalisation)
        self.backbone = _backbone(architecture, width=width, output_stride=stride, pretrained=pretrained)
        stages = self.backbone.channels
        self.aspp = ASPP(stages["stage4"], head, rates=RATES[stride])
        self.aspp_dropout = nn.Dropout(dropout)
        self.decoder = Decoder(stages["stage1"], head, reduced=scaled(48, head_width), dropout=dropout)
        self.decoder_dropout = nn.Dropout(dropout / 5)
        self.classifier = nn.Conv2d(head, architecture.num_classes, kernel_size=1)
        self.channels = stages | {"aspp": head, "decoder": head, "logits": architecture.num_classes}
        for module in (self.aspp, self.decoder):
            for conv in module.modules():
                if isinstance(conv, nn.Conv2d):
                    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.classifier.weight, nonlinearity="linear")
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]  # torch types it as optional

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """All taps of a batch of normalised images.

        Returns:
            ``stage1`` .. ``stage4``: the backbone, before the last ReLU of the stage (MobileNetV2: block
                outputs).
            ``aspp``: the pyramid's projection after its ReLU, before dropout. ``decoder``: the last 3x3
            convolution's normalised output before its ReLU. ``logits``: [B, C, H/4, W/4], not upsampled.
        """
        taps = self.backbone(self.normalise(images))
        low_level, deep = (self.backbone.activation(taps[stage]) for stage in ("stage1", "stage4"))
        aspp = self.aspp(deep)
        decoder = self.decoder(low_level, self.aspp_dropout(aspp))
        logits = self.classifier(self.decoder_dropout(F.relu(decoder)))
        return {**taps, "aspp": aspp, "decoder": decoder, "logits": logits}


def _backbone(
    architecture: Architecture, *, width: float, output_stride: int, pretrained: bool | str
) -> Backbone | TimmBackbone:
    library, name = split(architecture.backbone)
    if library == TIMM:
        return TimmBackbone(name, output_stride=output_stride, pretrained=pretrained)
    backbone = BACKBONES[architecture.backbone](width=width, output_stride=output_stride)
    if isinstance(backbone, EfficientNetLite) and architecture.normalisation is not None:
        backbone.normalise = nn.Identity()  # the network's own normalisation replaces it
    return backbone


def build_network(
    backbone: str,
    *,
    num_classes: int,
    width: float = 1.0,
    head_width: float | None = None,
    output_stride: int = 16,
    pretrained: bool | str = False,
    dropout: float = DROPOUT,
    normalisation: Normalisation | None = None,
) -> DeepLabV3Plus:
    """Build a new network, optionally with ImageNet weights in its backbone.

    Args:
        backbone: A name in ``BACKBONES``, or ``timm:<name>``.
        num_classes: Channels of the logits.
        width: Factor on all channel counts, which are rounded to multiples of 8 and at least 8.
        head_width: Factor on the channel counts of the head; None for ``width``.
        output_stride: Stride of the deepest map: 8, 16 or 32.
        pretrained: See ``load_imagenet`` and ``TimmBackbone``.
        dropout: Dropout rate of the head's two inner maps; before the classifier it is a fifth of that, as
            published. It is not stored with the weights.
        normalisation: The normalisation that the network expects; None for ImageNet's.

    Raises:
        UserError: An unknown backbone or output stride, or weights that cannot be loaded.
    """
    is_timm = split(backbone)[0] == TIMM
    if backbone not in BACKBONES and not is_timm:
        hint = did_you_mean(backbone, list(BACKBONES))
        raise UserError(f"networks: {backbone!r} is not a backbone{hint}")
    if output_stride not in RATES:
        raise UserError(f"networks: output_stride must be 8, 16 or 32, not {output_stride}.")
    architecture = Architecture(
        backbone=backbone,
        num_classes=num_classes,
        width=width,
        head_width=head_width,
        output_stride=output_stride,
        normalisation=normalisation,
    )
    model = DeepLabV3Plus(architecture, dropout=dropout, pretrained=is_timm and pretrained)
    if isinstance(model.backbone, TimmBackbone):
        return model
    load_imagenet(model.backbone, pretrained, name=backbone, width=width)
    return model
