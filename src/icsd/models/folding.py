"""Fold a frozen teacher's BatchNorms into the convolutions before them."""

import copy
import weakref
from collections import Counter
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from icsd.models.deeplab import PooledBatchNorm
from icsd.models.efficientnet_lite import SameConv2d

TOLERANCE = 1e-4
"""Largest difference between a folded network's map and the original, relative to the largest value."""
_CONVOLUTIONS = (nn.Conv2d, SameConv2d)  # other classes may use their weights in ways that break folding
_PLAIN = (nn.BatchNorm2d, PooledBatchNorm)
_ACTIVATED = "BatchNormAct2d"  # timm's, which includes an activation


def folded(network: nn.Module, images: Tensor, *, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy of the network with BatchNorms folded into the preceding convolutions.

    Pairs are found in a forward pass: the BatchNorm's input is the convolution's output. A BatchNorm without
    such a pair is kept. If the folded maps differ, because the network reads a convolution's output elsewhere
    too, nothing is folded.

    Args:
        network: Returns maps by name; it is not changed.
        images: [B, 3, H, W], of any size that the network accepts; used only to find pairs and compare maps.
        dtype: Dtype of the folded convolutions' weights, so that autocast need not cast them in every pass.

    Returns:
        The copy, in evaluation mode and without gradients. Its maps are within ``TOLERANCE``.
    """
    unfolded, made = (copy.deepcopy(network).eval().requires_grad_(False) for _ in range(2))
    with torch.no_grad():
        expected = unfolded(images)
        pairs = _pairs(made, images)
        for conv, norm in pairs.items():
            _fold(conv, norm)
        _replace(made, {norm: _rest(norm) for norm in pairs.values()})
        if not _agrees(made, images, expected):
            return unfolded
        for conv in pairs:
            conv.to(dtype)
        return made


def num_batchnorms(network: nn.Module) -> int:
    """Number of BatchNorms in a network."""
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _pairs(network: nn.Module, images: Tensor) -> dict[nn.Conv2d, nn.BatchNorm2d]:
    """Convolutions whose unchanged output is a BatchNorm's input, where both run once in a forward pass."""
    given: dict[int, tuple[weakref.ref[Tensor], int, nn.Conv2d]] = {}
    calls: Counter[nn.Module] = Counter()
    found: dict[nn.Conv2d, nn.BatchNorm2d] = {}

    def after(conv: nn.Conv2d, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        calls[conv] += 1
        given[id(output)] = weakref.ref(output), output._version, conv

    def before(norm: nn.BatchNorm2d, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls[norm] += 1
        reference, version, conv = given.get(id(inputs[0]), (None, 0, None))
        # The id may have been reused by another tensor, and an in-place activation keeps the same tensor.
        if reference and conv and reference() is inputs[0] and inputs[0]._version == version:
            found[conv] = norm

    handles = []
    for module in network.modules():
        if type(module) in _CONVOLUTIONS and isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(partial(after, module)))
        elif _can_be_folded(module) and isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(partial(before, module)))
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return {conv: norm for conv, norm in found.items() if calls[conv] == calls[norm] == 1}


def _can_be_folded(norm: nn.Module) -> bool:
    known = type(norm) in _PLAIN or type(norm).__name__ == _ACTIVATED
    return known and getattr(norm, "running_mean", None) is not None


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _rest(norm: nn.Module) -> nn.Module:
    """What remains of a folded BatchNorm: timm's dropout and activation, otherwise nothing."""
    if type(norm).__name__ == _ACTIVATED:
        return nn.Sequential(norm.get_submodule("drop"), norm.get_submodule("act"))
    return nn.Identity()


def _replace(network: nn.Module, others: dict[nn.Module, nn.Module]) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in others:
                setattr(parent, name, others[child])


def _agrees(network: nn.Module, images: Tensor, expected: dict[str, Tensor]) -> bool:
    try:
        found = network(images)
    except Exception:  # a network's code may use more of its BatchNorm than its output
        return False
    return found.keys() == expected.keys() and all(
        (found[name] - wanted).abs().max() <= TOLERANCE * wanted.abs().max()  # false for NaN
        for name, wanted in expected.items()
    )
