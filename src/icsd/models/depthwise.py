"""Faster gradients of depthwise convolutions on a CPU, where oneDNN's take most of a step.

With dilation, and in bfloat16 with channels last, oneDNN's gradients take tens of times as long as the
convolution itself (``benchmarks/depthwise.py``).
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from icsd.models.efficientnet_lite import SameConv2d

Pair = tuple[int, int]


def speed_up_depthwise(module: nn.Module) -> None:
    """Make every depthwise convolution in ``module`` use the gradients of ``depthwise_conv2d``, in place.

    Outputs, weights, names and hooks do not change. Subclasses of ``nn.Conv2d`` from elsewhere are left
    alone, since they may compute something else.
    """
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d) and type(conv) in _FASTER and _is_depthwise(conv):
            conv.__class__ = _FASTER[type(conv)]


def depthwise_conv2d(
    input: Float[Tensor, "B K h w"],
    weight: Float[Tensor, "K 1 k l"],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Float[Tensor, "B K _ _"]:
    """``conv2d`` with one filter per channel and faster gradients, which are equal up to rounding.

    At stride 1, the gradient of the input is a convolution of the output's gradient with the mirrored filter.
    All other gradients are oneDNN's, in float32.
    """
    output: Tensor = _DepthwiseConv2d.apply(input, weight, stride, padding, dilation)
    return output


class _DepthwiseConv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no type of its own
        input: Tensor,
        weight: Tensor,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
    ) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.geometry = stride, padding, dilation
        return F.conv2d(input, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:  # noqa: ANN401
        input, weight = ctx.saved_tensors
        to_input = to_weight = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                to_input = _to_input(slope, input, weight, *ctx.geometry)
            if ctx.needs_input_grad[1]:
                to_weight = _of_onednn(slope, input, weight, *ctx.geometry, to_input=False)
        return to_input, to_weight, None, None, None


def _to_input(
    slope: Tensor, input: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    around = [d * (k - 1) - p for d, k, p in zip(dilation, weight.shape[2:], padding, strict=True)]
    if stride != (1, 1) or min(around) < 0:
        return _of_onednn(slope, input, weight, stride, padding, dilation, to_input=True)
    mirrored = weight.to(slope.dtype).flip(2, 3)
    return F.conv2d(slope, mirrored, None, 1, around, dilation, len(weight)).to(input.dtype)


def _of_onednn(
    slope: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    *,
    to_input: bool,
) -> Tensor:
    """The gradient of the input or of the weight, computed in at least float32."""
    wanted = input if to_input else weight
    dtype = torch.promote_types(weight.dtype, torch.float32)
    gradients: list[Tensor] = torch.ops.aten.convolution_backward(
        *(tensor.to(dtype) for tensor in (slope, input, weight)),
        None,
        stride,
        padding,
        dilation,
        False,
        (0, 0),
        len(weight),
        (to_input, not to_input, False),
    )
    return gradients[0 if to_input else 1].to(wanted.dtype)


class _Faster(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.dilation == (1, 1) and not torch.is_autocast_enabled("cpu"):  # oneDNN is as fast
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        stride, padding, dilation = (cast(Pair, of) for of in (self.stride, self.padding, self.dilation))
        output = depthwise_conv2d(input, weight, stride, padding, dilation)
        return output if bias is None else output + bias[:, None, None].to(output.dtype)


class _FasterSame(_Faster, SameConv2d):
    pass


_FASTER: dict[type[nn.Module], type[nn.Conv2d]] = {nn.Conv2d: _Faster, SameConv2d: _FasterSame}


def _is_depthwise(conv: nn.Conv2d) -> bool:
    one_filter_each = conv.groups == conv.in_channels == conv.out_channels
    return one_filter_each and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
