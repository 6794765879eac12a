"""Backbones of timm (``timm:<name>``) for the head of DeepLabV3+."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icsd.errors import UserError, first_line
from icsd.models.contract import library

STRIDES = [4, 8, 16, 32]


class TimmBackbone(nn.Module):
    """The last four maps of a timm network that runs as a feature extractor.

    They are tapped as timm returns them, for most networks after the stage's last activation.

    Args:
        name: A name in ``timm.list_models()``.
        output_stride: 8, 16, or 32.
        pretrained: True to download timm's weights; a string is a file with those of the whole network.

    Raises:
        UserError: timm is not installed, or has no such network, stride or weights.
    """

    def __init__(self, name: str, *, output_stride: int, pretrained: bool | str = False) -> None:
        super().__init__()
        self.activation: nn.Module = nn.Identity()
        self.network = _created(name, output_stride, pretrained)
        info: Any = self.network.feature_info
        reductions, widths = info.reduction()[-4:], info.channels()[-4:]
        wanted = [min(stride, output_stride) for stride in STRIDES]
        if reductions != wanted:
            advice = " (set output_stride: 32)" if reductions == STRIDES else ""
            raise UserError(
                f"timm:{name}: its maps have strides {reductions}, and DeepLabV3+ needs {wanted}{advice}"
            )
        self.channels = {f"stage{index}": width for index, width in enumerate(widths, 1)}
        # Some networks, such as Swin, return maps with channels in the last dimension.
        self.channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """``stage1`` (stride 4) to ``stage4`` (the output stride)."""
        maps = self.network(images)[-4:]
        if self.channels_last:
            maps = [value.permute(0, 3, 1, 2) for value in maps]
        return {f"stage{index}": value for index, value in enumerate(maps, 1)}


def _created(name: str, output_stride: int, pretrained: bool | str) -> nn.Module:
    timm = library("timm", wanted_by=f"timm:{name}")
    if not timm.is_model(name):
        close = timm.list_models(f"*{name.partition('_')[0].partition('.')[0]}*")[:5]
        hint = f"; it has {', '.join(close)}" if close else ""
        raise UserError(f"timm:{name}: timm {timm.__version__} has no such network{hint}")
    options: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    if isinstance(pretrained, str):
        options["pretrained_cfg_overlay"] = {"file": pretrained}
    try:
        network = timm.create_model(name, features_only=True, pretrained=bool(pretrained), **options)
    except Exception as error:  # timm passes on any error of its networks and of the hub
        reason = first_line(error)
        if pretrained:
            raise UserError(f"timm:{name}: its weights cannot be had ({reason})") from error
        raise UserError(
            f"timm:{name}: cannot be built as a backbone with output stride {output_stride} ({reason}); "
            "where it cannot be dilated, set output_stride: 32"
        ) from error
    assert isinstance(network, torch.nn.Module)
    return network
