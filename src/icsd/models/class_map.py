"""Networks with classes other than the dataset's: map their logits to logits of the dataset's classes."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

ClassMap = tuple[tuple[int, ...], ...]
"""For each of the dataset's classes, the channels of the network's logits that represent it."""


def class_map_of(network: nn.Module) -> ClassMap | None:
    """The map that ``map_classes`` gave a network; None if its logits are already the dataset's."""
    found: ClassMap | None = getattr(network, "class_map", None)
    return found


def map_classes(network: nn.Module, class_map: Sequence[Sequence[int]]) -> None:
    """Make a network return logits of the dataset's classes, in place; weights and other taps do not change.

    The probabilities of channels that represent the same class add up: its logit is their logsumexp. Channels
    that represent no class are dropped, so that the probabilities of the others add up to 1.

    This is a hook and not a wrapper: parameter names do not change, and every caller of the network sees the
    same logits.

    Args:
        network: Its forward returns taps, and ``channels`` has their widths.
        class_map: For each of the dataset's classes, the channels that represent it.

    Raises:
        ValueError: A channel that the network does not have, or a class without channels.
    """
    groups = tuple(tuple(group) for group in class_map)
    channels: dict[str, int] = network.channels  # type: ignore[assignment]  # nn.Module types it as a tensor
    known = set(range(channels["logits"]))
    if not groups or not all(group and known.issuperset(group) for group in groups):
        raise ValueError(f"no map of {len(known)} channels: {groups}")
    network.class_map = groups  # type: ignore[assignment]
    network.channels = {**channels, "logits": len(groups)}  # type: ignore[assignment]
    network.register_forward_hook(partial(_with_mapped_logits, groups))


def _with_mapped_logits(
    groups: ClassMap, network: nn.Module, inputs: object, taps: dict[str, Tensor]
) -> dict[str, Tensor]:
    return {**taps, "logits": mapped_logits(taps["logits"], groups)}


def mapped_logits(logits: Float[Tensor, "B K h w"], class_map: ClassMap) -> Float[Tensor, "B C h w"]:
    """The logits of the dataset's classes, computed from the network's channels."""
    return torch.stack(
        [
            logits[:, group[0]] if len(group) == 1 else logits[:, list(group)].logsumexp(1)
            for group in class_map
        ],
        dim=1,
    )


def composed(outer: Sequence[Sequence[int]], inner: ClassMap | None) -> ClassMap:
    """Compose two maps: ``inner`` maps the network's channels to classes, ``outer`` maps those classes."""
    if inner is None:
        return tuple(tuple(group) for group in outer)
    return tuple(tuple(channel for each in group for channel in inner[each]) for group in outer)
