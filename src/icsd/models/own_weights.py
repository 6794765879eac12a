"""Load the weights of a whole network from a user's file: strictly, unwrapped, or partially."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from icsd.errors import UserError, some
from icsd.models.class_map import ClassMap, composed, map_classes
from icsd.models.contract import Network, read_architecture
from icsd.models.weight_files import header_of, is_state, read_checkpoint
from icsd.models.weights import CLASS_MAP, KEY

Load = Literal["strict", "unwrap", "partial"]
Build = Callable[[int], Network]
"""Builds a new network with the given number of channels in its logits."""
WRAPPINGS = ("state_dict", "model_state_dict", "model", "network", "net")
"""Keys under which training code commonly saves a network's weights."""
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
"""Prefixes that DDP, torch.compile and wrapper modules add to every parameter name."""


def load_own(
    build: Build,
    path: Path,
    *,
    num_classes: int,
    load: Load,
    classes: Sequence[Sequence[int]] | None,
    names: Sequence[str],
    block: str,
) -> tuple[Network, list[str]]:
    """Build a network with the weights of a file. Under ``torch.device("meta")`` this only checks the file.

    Args:
        build: Builds the network that the parameters describe.
        path: A file of this project, with its architecture in the header, or a plain state dict.
        num_classes: Number of classes of the dataset.
        load: ``strict``: names and shapes must match the network's. ``unwrap``: they must match after
            removing wrappings and prefixes. ``partial``: as ``unwrap``, but only the tensors that match are
            loaded; the others stay as ``build`` initialised them.
        classes: For each of the dataset's classes, the file's channels that represent it; None if the classes
            are the same.
        names: Names of the dataset's classes.
        block: The network's block in params.yaml, such as ``networks.teacher``, for messages.

    Returns:
        The network, and a phrase for every tensor that ``partial`` left out.

    Raises:
        UserError: The file is unusable or does not fit the network.
    """
    setting = f"{block}.weights"
    content = read_checkpoint(path, setting=setting, advice="Name another file, or none (null).")
    header = header_of(path, KEY)
    header = dict(header) if isinstance(header, Mapping) else None
    inner = _tuples(header.pop(CLASS_MAP, None), path, setting) if header else None
    # Keep the random state, so that the network built below gets the same initial weights.
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        probe, other = build(2), build(3)
    if header:
        _check_architecture(header, probe, path, block)
    state = unwrapped(content) if load != "strict" else content
    if not is_state(state):
        raise UserError(
            f"{setting}: {path} does not hold a plain dictionary of tensors but {_outline(content)}. "
            + (f"`{block}.load: unwrap` looks below {', '.join(WRAPPINGS)}." if load == "strict" else "")
        )
    if wrong := [name for name, value in state.items() if not value.isfinite().all()]:
        raise UserError(f"{setting}: {path} holds NaN or infinity, in {wrong[0]}. Name another file.")
    state = named_as_here(state, probe.inner_prefix)
    channels = channels_in(state, probe, other)
    own = num_classes if channels is None else channels if inner is None else len(inner)
    class_map: Sequence[Sequence[int]] | None = inner
    if channels is not None and classes is not None:
        class_map = composed(_checked_map(classes, own, names, block), inner)
    elif own != num_classes and load == "partial":
        channels, class_map = None, None
    elif own != num_classes:
        raise UserError(_other_classes(path, own, num_classes, block))
    network = build(num_classes if channels is None else channels)
    left_out = _fill(network, state, path, load, block)
    if class_map is not None:
        try:
            map_classes(network, class_map)
        except ValueError as error:  # of a damaged header: the parameters' map has been checked
            raise UserError(f"{setting}: {path}: {error}. Name another file.") from error
    return network, left_out


def unwrapped(content: object) -> object:
    """Remove the wrappings of ``content``, and the prefixes that all its names share."""
    while isinstance(content, Mapping) and not is_state(content):
        inner = next((content[key] for key in WRAPPINGS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    while isinstance(content, Mapping) and content:
        prefix = next((each for each in PREFIXES if all(name.startswith(each) for name in content)), None)
        if prefix is None:
            break
        content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def named_as_here(state: Mapping[str, Tensor], prefix: str) -> Mapping[str, Tensor]:
    """The tensors of a file with the prefix that this project's wrapper adds to a library's names."""
    if any(name.startswith(prefix) for name in state):
        return state
    return {f"{prefix}{name}": value for name, value in state.items()}


def channels_in(state: Mapping[str, Tensor], probe: Network, other: Network) -> int | None:
    """The channels of the logits in a file, from the tensors whose size depends on them; None if unclear.

    Args:
        state: The tensors of the file.
        probe: The network with some number of classes.
        other: The network with a different number of classes.
    """
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    following = [name for name, value in probe.state_dict().items() if value.shape != shapes[name]]
    sizes = {state[name].shape[0] for name in following if name in state and state[name].ndim}
    return sizes.pop() if len(sizes) == 1 else None


def differences(network: Network, state: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    """Names missing in a file, names missing in the network, and names whose shapes differ."""
    own = network.state_dict()
    # Files of old torch versions have no num_batches_tracked.
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    return missing, unexpected, shapes


def _fill(network: Network, state: Mapping[str, Tensor], path: Path, load: Load, block: str) -> list[str]:
    """Load the tensors that fit, in place; return a phrase for each one that does not."""
    missing, unexpected, shapes = differences(network, state)
    own = network.state_dict()
    if (missing or unexpected or shapes) and load != "partial":
        raise UserError(_misfit(network, state, path, load, block))
    fitting = {name: value for name, value in state.items() if name in own and name not in shapes}
    if not any(own[name].ndim for name in fitting):
        raise UserError(f"{block}.weights: nothing in {path} fits. {_belongs_elsewhere(block)}")
    on_meta = next(network.parameters()).is_meta  # meta tensors have no storage to copy to
    network.load_state_dict(fitting, strict=False, assign=on_meta)
    return [
        *(f"{name} (not in the file)" for name in missing),
        *(f"{name} (not in the network)" for name in unexpected),
        *(f"{name} ({_sizes(own[name], state[name])})" for name in shapes),
    ]


def _misfit(network: Network, state: Mapping[str, Tensor], path: Path, load: Load, block: str) -> str:
    """A message with the differences (the first of each kind) and the setting that would load the file."""
    missing, unexpected, shapes = differences(network, state)
    own = network.state_dict()
    found = [
        f"{len(names)} {what} ({first})"
        for names, what, first in (
            (missing, "missing", missing[:1] and missing[0]),
            (unexpected, "unexpected", unexpected[:1] and unexpected[0]),
            (
                shapes,
                "of another shape",
                shapes and f"{shapes[0]}: {_sizes(own[shapes[0]], state[shapes[0]])}",
            ),
        )
        if names
    ]
    return (
        f"{block}.weights: {path} does not fit the network of {block}: {'; '.join(found)}. "
        f"{_way_out(network, state, load, block)}"
    )


def _way_out(network: Network, state: Mapping[str, Tensor], load: Load, block: str) -> str:
    if load == "strict":
        own_names = {name.removeprefix(network.inner_prefix): value for name, value in state.items()}
        below = unwrapped(own_names)
        assert is_state(below)
        below = named_as_here(below, network.inner_prefix)
        if not any(differences(network, below)):
            return f"Without the prefix of its names it does: set `{block}.load: unwrap`."
        state = below
    own = network.state_dict()
    fitting = sum(name in own and own[name].shape == value.shape for name, value in state.items())
    if fitting >= len(own) / 2:
        trained = " and train it (`teacher.train: true`)" if block.endswith(".teacher") else ""
        return (
            f"{fitting} of its {len(state)} tensors fit: `{block}.load: partial` loads these{trained}, and "
            "leaves the rest out."
        )
    if network.architecture.name.startswith("hf:"):  # whose files may have other names than its networks
        return (
            f"A folder of transformers is loaded by its own library: name it in `{block}.architecture`, and "
            f"set `{block}.pretrained: true` and `{block}.weights: null`."
        )
    return _belongs_elsewhere(block)


def _belongs_elsewhere(block: str) -> str:
    keys = "backbone, width, head_width"
    return f"It belongs to another network: compare the block {block} ({keys}) with the file's."


def _check_architecture(header: Mapping[str, Any], probe: Network, path: Path, block: str) -> None:
    own = probe.architecture
    try:
        held = read_architecture(header)
    except (TypeError, ValueError) as error:
        raise UserError(f"{block}.weights: the header of {path} is damaged. Name another file.") from error
    keys = {"name": "architecture"} | {
        key: key for key in ("backbone", "width", "head_width", "output_stride")
    }
    keys["normalisation"] = "normalisation"
    other = [key for key in keys if getattr(held, key) != getattr(own, key)]
    if other:
        raise UserError(
            f"{block}.weights: {path} holds another network: set "
            + ", ".join(
                f"`{block}.{keys[key]}: {getattr(held, key)}` (it is {getattr(own, key)})" for key in other
            )
        )


def _tuples(class_map: Any, path: Path, setting: str) -> ClassMap | None:  # noqa: ANN401 - what a header holds
    try:
        return None if class_map is None else tuple(tuple(int(each) for each in group) for group in class_map)
    except (TypeError, ValueError) as error:
        raise UserError(f"{setting}: the header of {path} is damaged. Name another file.") from error


def _checked_map(
    classes: Sequence[Sequence[int]], channels: int, names: Sequence[str], block: str
) -> Sequence[Sequence[int]]:
    for name, group in zip(names, classes, strict=True):
        if beyond := [channel for channel in group if channel >= channels]:
            raise UserError(
                f"{block}.classes.{name}: is channel {beyond[0]}, but the network in {block}.weights has "
                f"channels 0 to {channels - 1}"
            )
    return classes


def _other_classes(path: Path, channels: int, num_classes: int, block: str) -> str:
    ways = f"`{block}.load: partial` loads all but them, for a network that is then trained"
    if block.endswith(".teacher"):
        ways = f"say in `{block}.classes` which of them stands for which class. Or {ways}"
    return (
        f"{block}.weights: the network in {path} has {channels} classes, and the dataset has "
        f"{num_classes}: {ways}."
    )


def _sizes(own: Tensor, other: Tensor) -> str:
    return f"{list(other.shape)} in the file, {list(own.shape)} in the network"


def _outline(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    kinds = [f"{key} ({type(value).__name__})" for key, value in content.items()]
    return f"the keys {some(kinds, len(kinds), most=3)}"


def left_out_in_words(left_out: Sequence[str]) -> Iterator[str]:
    """A line to print about what was left out; nothing if everything was loaded."""
    if left_out:
        yield f"left out: {some(left_out, len(left_out), most=3)}"
