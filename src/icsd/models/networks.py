"""Any network, from what describes it: DeepLabV3+, or that of a library."""

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
    """A new network, from weights if asked for.

    Args:
        architecture: What it is.
        pretrained: True for the library's own weights; a string is a local file: of DeepLabV3+ the
            backbone's, of any other network the whole network's or its encoder's; False for none.
        dropout: Of the head of DeepLabV3+.
        setting: The block of params.yaml to name in messages.

    Raises:
        UserError: There is no such network, or its weights cannot be had.
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
        with torch.device("cpu"):  # also where a check wants no memory: some cannot be built without
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
    """The channels of a network's taps; it is built without weights, and sees an image of this size.

    Raises:
        UserError: It cannot be built, or not run on such an image.
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
