"""Files of weights that users name: read without running code, or refused with the key to change."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from icsd.errors import UserError, first_line

SUFFIXES = (".pth", ".pt", ".safetensors")


def read_checkpoint(path: Path, *, setting: str, advice: str) -> object:
    """What a file holds: in most cases a dictionary of tensors, on the CPU.

    Args:
        path: Of a ``.pth``, ``.pt`` or ``.safetensors`` file.
        setting: The key of params.yaml that names it.
        advice: What else the key may be; the end of every message.

    Raises:
        UserError: There is no such file, it is of another kind, damaged, or holds more than data.
    """
    if path.is_dir():
        raise UserError(f"{setting}: {path} is a folder; name the file in it. {advice}")
    if path.suffix not in SUFFIXES:
        raise UserError(f"{setting}: {path} is not a weights file, which ends in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UserError(f"{setting}: there is no file {path}. {advice}")
    try:
        return (
            load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        )
    except Exception as error:  # given a damaged file, torch's reader raises whatever it stumbles over
        raise UserError(f"{setting}: {path} cannot be read ({first_line(error)}). {advice}") from error


def read_state(path: Path, *, setting: str, advice: str) -> Mapping[str, Tensor]:
    """A file that holds nothing but tensors by name.

    Raises:
        UserError: See ``read_checkpoint``, or it holds something else.
    """
    state = read_checkpoint(path, setting=setting, advice=advice)
    if not is_state(state):
        raise UserError(f"{setting}: {path} does not hold a plain dictionary of tensors. {advice}")
    return state


def is_state(content: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether it is a dictionary of tensors by name."""
    return isinstance(content, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )


def fill(
    module: nn.Module, state: Mapping[str, Tensor], *, origin: str, name: str, setting: str, advice: str
) -> None:
    """Load all tensors of a module, in place.

    Args:
        module: On the meta device, where nothing is there that could be filled, this only checks the tensors.
        state: Tensors by the module's own names.
        origin: Where they are from, for messages.
        name: What the module is, likewise.
        setting: The key of params.yaml that asks for them.
        advice: What else the key may be; the end of every message.

    Raises:
        UserError: They do not fit, belong to another network, or are not finite.
    """
    try:
        on_meta = next(module.parameters()).is_meta
        difference = module.load_state_dict(state, strict=False, assign=on_meta)
    except RuntimeError as error:  # shapes; torch's message has one line per parameter
        first = str(error).splitlines()[1].strip()
        raise UserError(
            f"{setting}: the weights from {origin} do not fit {name}: {first} {advice}"
        ) from error
    if difference.missing_keys or difference.unexpected_keys:
        missing, unexpected = difference.missing_keys, difference.unexpected_keys
        raise UserError(
            f"{setting}: the weights from {origin} do not belong to {name}: {len(missing)} missing "
            f"(e.g. {missing[:2]}), {len(unexpected)} unknown (e.g. {unexpected[:2]}). {advice}"
        )
    if wrong := [key for key, value in state.items() if not value.isfinite().all()]:
        raise UserError(f"{setting}: the weights from {origin} hold NaN or infinity, in {wrong[0]}. {advice}")


def header_of(path: Path, key: str) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON that a safetensors file has in its header under ``key``; None for any other file."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})[key])
    except (KeyError, ValueError):
        return None
