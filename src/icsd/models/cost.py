"""The cost of a network: its parameters and floating-point operations."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module) -> int:
    """Number of parameters (without running statistics)."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Floating-point operations of one image, [3, H, W], in evaluation mode.

    A multiply-add counts as two; papers that count it once ("MACs") report half of this. Only convolutions
    and matrix products count, not normalisation, activations and resampling (about one percent here).
    """
    # On the meta device only shapes are propagated; nothing is computed or allocated.
    ghost = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ghost(torch.empty(1, *input_shape, device="meta"))
    return int(counter.get_total_flops())
