"""Build any network from its architecture: DeepLabV3+, or a library's network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from icsd.errors import UserError, first_line
from icsd.models.contract import Architecture, Network
from icsd.models.deeplab import DROPOUT, build_network
from icsd.models.imagenet import WAYS_OUT
from icsd.models.libraries import from_huggingface, from_python, from_smp, from_torchvision
from icsd.models.library_network import Inner, LibraryNetwork
from icsd.models.names import DEEPLAB, portable, split
from icsd.models.weight_files import fill, read_state


def new_network(
    architecture: Architecture,
    *,
    pretrained: bool | str = False,
    dropout: float = DROPOUT,
    setting: str = "networks",
) -> Network:
    """Build a new network, optionally with pretrained weights.

    Args:
        architecture: The network's architecture.
        pretrained: True for the library's own weights, False for none; a string is a local file with the
            weights of the backbone (DeepLabV3+), or of the whole network or its encoder (any other network).
        dropout: Dropout rate of the head of DeepLabV3+.
        setting: The block of params.yaml to name in messages.

    Raises:
        UserError: There is no such network, or its weights are unavailable.
    """
    if architecture.name == DEEPLAB:
        return build_network(
            architecture.backbone,
            num_classes=architecture.num_classes,
            width=architecture.width,
            head_width=architecture.head_width,
            output_stride=architecture.output_stride or 16,
            pretrained=pretrained,
            dropout=dropout,
            normalisation=architecture.normalisation,
        )
    try:
        with torch.device("cpu"):  # even in checks on the meta device, where some networks cannot be built
            inner, own = _inner(architecture, pretrained is True)
            network = LibraryNetwork(own, inner)
    except UserError as error:
        raise type(error)(f"{setting}: {error}") from error
    if isinstance(pretrained, str):
        key = f"{setting}.pretrained"
        state = read_state(Path(pretrained), setting=key, advice=WAYS_OUT)
        fill(
            _place_of(state, network),
            state,
            origin=pretrained,
            name=network.architecture.name,
            setting=key,
            advice=WAYS_OUT,
        )
    return network


def widths_of(architecture: Architecture, *, crop: tuple[int, int], setting: str) -> Mapping[str, int]:
    """The channels of a network's taps. It is built without pretrained weights and run on a crop once.

    Raises:
        UserError: It cannot be built, or cannot run on an image of this size.
    """
    network = new_network(architecture, setting=setting).eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, *crop))
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{setting}: {architecture.name} cannot take images of {crop[0]} × {crop[1]} "
            f"(images.crop): {first_line(error)}"
        ) from error
    return network.channels


def _inner(architecture: Architecture, pretrained: bool) -> tuple[Inner, Architecture]:
    kind, name = split(architecture.name)
    classes = architecture.num_classes
    if kind == "smp":
        stride = architecture.output_stride
        return from_smp(name, num_classes=classes, output_stride=stride, pretrained=pretrained), architecture
    if kind == "torchvision":
        return from_torchvision(name, num_classes=classes, pretrained=pretrained), architecture
    if kind == "hf":
        inner, config = from_huggingface(
            name, num_classes=classes, pretrained=pretrained, config=architecture.config
        )
        return inner, replace(architecture, name=portable(architecture.name), config=config)
    if kind == "python":
        if pretrained:
            raise UserError(
                f"{architecture.name}: nobody knows its ImageNet weights; set pretrained: false or a file"
            )
        return from_python(name, num_classes=classes), architecture
    raise UserError(f"there is no architecture {architecture.name!r}")


def _place_of(state: Mapping[str, Tensor], network: LibraryNetwork) -> nn.Module:
    """The part of a network that has these tensors: its encoder, or else the whole network."""
    parts = [prefix.removeprefix(network.inner_prefix).rstrip(".") for prefix in network.backbone_prefixes]
    places = (network.network.get_submodule(part) for part in parts)
    return next((place for place in places if place.state_dict().keys() == state.keys()), network.network)
