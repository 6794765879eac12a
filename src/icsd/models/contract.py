"""What the rest of the project knows of a network: its taps, their widths, and how to build it again."""

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.errors import UserError
from icsd.models.names import DEEPLAB

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of red, green and blue, for pixel values in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What it takes to build a network again.

    Attributes:
        backbone: Of DeepLabV3+; "" for any other network.
        num_classes: Channels of the logits.
        width: Factor on the channel counts of DeepLabV3+.
        head_width: That of its head, where it is another than the backbone's; None where not.
        output_stride: Of the deepest map; None where the network has no such setting.
        name: As params.yaml writes it; see ``icsd.models.names``.
        normalisation: What the network expects instead of ImageNet's; None for that.
        taps: Tap -> path of the module whose output it is, where the network needs to be told.
        config: The library's own description, where the name does not say everything.
    """

    backbone: str
    num_classes: int
    width: float = 1.0
    head_width: float | None = None
    output_stride: int | None = 16
    name: str = DEEPLAB
    normalisation: Normalisation | None = None
    taps: Mapping[str, str] | None = None
    config: Mapping[str, Any] | None = None

    def described(self) -> dict[str, Any]:
        """What a file of weights says of its network: what is not there is as it is by default."""
        values = asdict(self)
        optional = {"name": DEEPLAB} | dict.fromkeys(("head_width", "normalisation", "taps", "config"))
        return {key: value for key, value in values.items() if optional.get(key, ...) != value}


def read_architecture(values: Mapping[str, Any]) -> Architecture:
    """The architecture that ``described`` gave, after a way through JSON."""
    given = values.get("normalisation")
    return Architecture(**{**values, "normalisation": given and tuple(tuple(each) for each in given)})


class Network(nn.Module):
    """A segmentation network: an interface, nothing more.

    ``forward`` takes images [B, 3, H, W] normalised by ImageNet's mean and standard deviation, and returns
    its taps by name. ``logits`` is always among them, at any size; the other maps are those that the network
    has (see ``icsd.models.names.TAPS``).

    Attributes:
        architecture: What it was built from.
        channels: Width of every tap that ``forward`` returns.
        backbone_prefixes: How the names of the parameters begin that train at the backbone's learning rate.
        inner_prefix: What stands before the names that a library, or somebody's own class, gave its weights.
    """

    architecture: Architecture
    channels: dict[str, int]
    backbone_prefixes: tuple[str, ...] = ("backbone.",)
    inner_prefix: str = ""


class Renormalise(nn.Module):
    """Images in another range, channel by channel: ``images * gain + offset``, both [3, 1, 1]."""

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: Tensor, offset: Tensor) -> None:
        super().__init__()
        # Buffers that are derived, not learnt: they stay out of the weights.
        self.register_buffer("gain", gain, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """The images as the network expects them."""
        return images * self.gain + self.offset


def renormalise(normalisation: Normalisation | None) -> nn.Module:
    """What stands before a network that expects ``normalisation``; None is ImageNet's, as images come."""
    if normalisation is None:
        return nn.Identity()
    mean, std, given_mean, given_std = (
        torch.tensor(values).view(3, 1, 1) for values in (*normalisation, IMAGENET_MEAN, IMAGENET_STD)
    )
    return Renormalise(given_std / std, (given_mean - mean) / std)


class MissingCode(UserError):
    """What builds a network is not there: a library, or somebody's module."""


def library(name: str, *, wanted_by: str) -> ModuleType:
    """A library of the extra ``networks``, imported only where a network asks for it.

    Raises:
        MissingCode: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingCode(
            f"{wanted_by}: needs the package {name.replace('_', '-')}, which cannot be imported ({error}). "
            "The extra has it: `uv sync --extra networks`, or `pip install '.[networks]'`"
        ) from error
