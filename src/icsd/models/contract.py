"""The interface of a network: its taps, their widths, and what is needed to rebuild it."""

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
    """Everything needed to rebuild a network.

    Attributes:
        backbone: Backbone of DeepLabV3+; "" for any other network.
        num_classes: Channels of the logits.
        width: Factor on the channel counts of DeepLabV3+.
        head_width: The same factor for its head; None if it is ``width``.
        output_stride: Stride of the deepest map; None if the network has no such setting.
        name: Name of the architecture in params.yaml; see ``icsd.models.names``.
        normalisation: The normalisation that the network expects; None for ImageNet's.
        taps: Maps taps to the paths of the modules whose output they are, if they are not known otherwise.
        config: The library's own configuration, if the name does not determine the network.
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
        """The description stored in a weights file; optional fields with their default are left out."""
        values = asdict(self)
        optional = {"name": DEEPLAB} | dict.fromkeys(("head_width", "normalisation", "taps", "config"))
        return {key: value for key, value in values.items() if optional.get(key, ...) != value}


def read_architecture(values: Mapping[str, Any]) -> Architecture:
    """Restore an architecture from the output of ``described``, after a round trip through JSON."""
    given = values.get("normalisation")
    return Architecture(**{**values, "normalisation": given and tuple(tuple(each) for each in given)})


class Network(nn.Module):
    """The interface of a segmentation network.

    ``forward`` takes images [B, 3, H, W] normalised by ImageNet's mean and standard deviation, and returns
    the taps by name. ``logits`` is always among them, at any size; which other maps there are depends on the
    network (see ``icsd.models.names.TAPS``).

    Attributes:
        architecture: What it was built from.
        channels: Width of every tap that ``forward`` returns.
        backbone_prefixes: Prefixes of the parameter names that train at the backbone's learning rate.
        inner_prefix: Prefix of the parameter names of a wrapped network (a library's or a user's class).
    """

    architecture: Architecture
    channels: dict[str, int]
    backbone_prefixes: tuple[str, ...] = ("backbone.",)
    inner_prefix: str = ""


class Renormalise(nn.Module):
    """Change the normalisation of images: ``images * gain + offset``, where both are [3, 1, 1]."""

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: Tensor, offset: Tensor) -> None:
        super().__init__()
        # Derived from the architecture, so not saved with the weights.
        self.register_buffer("gain", gain, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """The images as the network expects them."""
        return images * self.gain + self.offset


def renormalise(normalisation: Normalisation | None) -> nn.Module:
    """The input layer of a network that expects ``normalisation``; None is ImageNet's and changes nothing."""
    if normalisation is None:
        return nn.Identity()
    mean, std, given_mean, given_std = (
        torch.tensor(values).view(3, 1, 1) for values in (*normalisation, IMAGENET_MEAN, IMAGENET_STD)
    )
    return Renormalise(given_std / std, (given_mean - mean) / std)


class MissingCode(UserError):
    """The code that builds a network is missing: a library, or a user's module."""


def library(name: str, *, wanted_by: str) -> ModuleType:
    """Import a library of the extra ``networks``, which only some networks need.

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
