"""BatchNorm and dropout for a divided batch: they behave as in one forward pass over the whole batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from icsd.core.pieces import common_generator, own_part
from icsd.errors import UserError
from icsd.models.deeplab import PooledBatchNorm

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, PooledBatchNorm, nn.SyncBatchNorm)


class CpuSyncBatchNorm(_BatchNorm):
    """``nn.SyncBatchNorm`` for the CPU, which torch's own does not support."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any input."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise a map [B, K, …] with the statistics of all processes' pieces."""
        if not self.training:
            return super().forward(input)
        over = [dim for dim in range(input.dim()) if dim != 1]
        shape = [1, -1] + [1] * (input.dim() - 2)
        values = input.float()
        count = values.numel() // values.shape[1] * dist.get_world_size()
        mean = _Total.apply(values.sum(dim=over)) / count
        centred = values - mean.view(shape)
        variance = _Total.apply(centred.square().sum(dim=over)) / count
        self._follow(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        scale = (variance + self.eps).rsqrt()
        shift = torch.zeros_like(scale) if self.bias is None else self.bias
        if self.weight is not None:
            scale = scale * self.weight
        normalised: Tensor = centred * scale.view(shape) + shift.view(shape)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics; ``variance`` is the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _Activated(_BatchNorm):
    """Adds the dropout and activation of timm's BatchNormAct2d."""

    act: nn.Module
    drop: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """The normalised map after dropout and activation."""
        activated: Tensor = self.act(self.drop(super().forward(input)))
        return activated


class _CpuSyncBatchNormAct(_Activated, CpuSyncBatchNorm):
    """Synchronised BatchNormAct2d on the CPU."""


class _CudaSyncBatchNormAct(_Activated, nn.SyncBatchNorm):
    """Synchronised BatchNormAct2d on CUDA."""


class CommonDropout(nn.Dropout):
    """Dropout that gives a piece its share of the mask of one forward pass over the whole batch."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply dropout to the map."""
        if not self.training or not 0 < self.p < 1:
            return F.dropout(input, self.p, self.training)
        last = input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last and not input.is_contiguous() else torch.contiguous_format

        def draw(images: int) -> Tensor:
            noise = input.new_empty((images, *input.shape[1:])).contiguous(memory_format=layout)
            return noise.bernoulli_(1 - self.p, generator=common_generator())

        return input * own_part(draw, len(input)).div_(1 - self.p)


def synchronise_batchnorm(module: nn.Module, device: torch.device) -> None:
    """Make every BatchNorm in ``module`` normalise with the statistics of all processes, in place.

    Args:
        module: This process's module.
        device: Device on which it will run.

    Raises:
        UserError: A library's own kind of BatchNorm, which cannot be replaced.
    """
    _replace(module, partial(_synchronised, on_cpu=device.type == "cpu"))


def share_dropout(module: nn.Module) -> None:
    """Make every ``nn.Dropout`` in ``module`` draw for the whole batch, in place."""
    _replace(module, _common)


def _replace(module: nn.Module, make: Callable[[nn.Module], nn.Module]) -> None:
    for name, child in module.named_children():
        replaced = make(child)
        if replaced is not child:
            setattr(module, name, replaced)
        else:
            _replace(child, make)


def _common(module: nn.Module) -> nn.Module:
    if type(module) is not nn.Dropout:
        return module
    return CommonDropout(module.p).train(module.training)


def _synchronised(module: nn.Module, *, on_cpu: bool) -> nn.Module:
    if not isinstance(module, _BatchNorm):
        return module
    kind: type[_BatchNorm] = CpuSyncBatchNorm if on_cpu else nn.SyncBatchNorm
    extra: dict[str, Any] = {}
    if type(module).__name__ == "BatchNormAct2d":
        kind = _CpuSyncBatchNormAct if on_cpu else _CudaSyncBatchNormAct
        extra = {"act": module.act, "drop": module.drop}
    elif type(module) not in _PLAIN:
        raise UserError(
            f"sync_batchnorm: the network's {type(module).__name__} cannot be synchronised: set it to false, "
            "and every process normalises by its own images"
        )
    with torch.device("meta"):  # the module's own tensors replace these below
        made = kind(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
        )
    made._parameters = module._parameters
    made._buffers = module._buffers
    for name, child in extra.items():
        setattr(made, name, child)
    return made.train(module.training)


class _Total(torch.autograd.Function):
    """Sum over all processes. Gradients are summed too, since the loss of every process depends on it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total
