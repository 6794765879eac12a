"""Read weights files named by users without executing code; errors name the key to change."""

import json
import pickle
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
    """The content of a file, usually a dictionary of tensors, on the CPU.

    Args:
        path: Path of a ``.pth``, ``.pt`` or ``.safetensors`` file.
        setting: The key of params.yaml that names it.
        advice: Alternatives for the key; the end of every message.

    Raises:
        UserError: The file is missing, damaged, of another kind, or contains more than data.
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
    except Exception as error:  # torch's reader can raise anything on a damaged file
        raise UserError(f"{setting}: {path} cannot be read ({_reason(path, error)}). {advice}") from error


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be read; torch's own advice is to run whatever code is in it."""
    try:
        with path.open("rb") as file:
            begin = file.read(64)
    except OSError as unreadable:
        return first_line(unreadable)
    if begin.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; `git lfs pull` fetches the file"
    if begin.lstrip().startswith(b"<"):
        return "it is a web page instead of the file"
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or has other objects than tensors in it; save `network.state_dict()`"
    return first_line(error)


def read_state(path: Path, *, setting: str, advice: str) -> Mapping[str, Tensor]:
    """The content of a file that contains only tensors by name.

    Raises:
        UserError: See ``read_checkpoint``; or it contains anything else.
    """
    state = read_checkpoint(path, setting=setting, advice=advice)
    if not is_state(state):
        raise UserError(f"{setting}: {path} does not hold a plain dictionary of tensors. {advice}")
    return state


def is_state(content: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether ``content`` is a dictionary of tensors by name."""
    return isinstance(content, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )


def fill(
    module: nn.Module, state: Mapping[str, Tensor], *, origin: str, name: str, setting: str, advice: str
) -> None:
    """Load all tensors of a module, in place.

    Args:
        module: The module to fill; on the meta device the tensors are only checked.
        state: Tensors by the module's own names.
        origin: Origin of the tensors, for messages.
        name: Name of the module, for messages.
        setting: The key of params.yaml that names them.
        advice: Alternatives for the key; the end of every message.

    Raises:
        UserError: The tensors do not fit, belong to another network, or are not finite.
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
    """The JSON value under ``key`` in the header of a safetensors file; None if there is none."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})[key])
    except (KeyError, ValueError):
        return None
