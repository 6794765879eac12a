"""The optimiser, with a separate learning rate for the head, and the schedule as a pure function."""

from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

Name = Literal["sgd", "adamw"]


def build_optimizer(
    student: nn.Module,
    method: nn.Module | None,
    *,
    name: Name,
    lr: float,
    head_lr_factor: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    fused: bool = False,
) -> Optimizer:
    """Build an optimiser with the backbone at ``lr`` and head and adapters at ``lr * head_lr_factor``.

    Every parameter group has an ``lr_factor``, by which ``set_lr`` multiplies the learning rate.

    Args:
        student: Its ``backbone_prefixes`` are the prefixes of the backbone's parameter names.
        method: Its adapters train with the head; None without a method.
        name: ``sgd``, as published, or ``adamw`` (Loshchilov and Hutter, ICLR 2019) with torch's betas.
        lr: Learning rate of the backbone.
        head_lr_factor: Ratio of the head's learning rate to the backbone's.
        momentum: Momentum of SGD.
        nesterov: Whether SGD uses Nesterov momentum.
        weight_decay: L2 penalty of SGD; AdamW shrinks the weights by ``lr * weight_decay`` per step.
        fused: Update in one pass over the weights: up to three times as fast, but rounded differently.
    """
    prefixes = getattr(student, "backbone_prefixes", ("backbone.",))
    backbone = [p for name, p in student.named_parameters() if name.startswith(prefixes)]
    head = [p for name, p in student.named_parameters() if not name.startswith(prefixes)]
    adapters = list(method.parameters()) if method is not None else []
    groups = [
        {"params": backbone, "lr_factor": 1.0},
        {"params": head + adapters, "lr_factor": head_lr_factor},
    ]
    # foreach is explicit because its default depends on the device; results equal those of a loop.
    foreach = not fused
    if name == "adamw":
        return AdamW(groups, lr=lr, weight_decay=weight_decay, foreach=foreach, fused=fused)
    return SGD(
        groups,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        foreach=foreach,
        fused=fused,
    )


def lr_at(step: int, *, steps: int, lr: float, power: float, warmup: float = 0.0) -> float:
    """Learning rate of a step: ``lr * (1 - step / steps) ** power``, with a linear warm-up.

    Args:
        step: Step of the whole run, from 0.
        steps: Number of steps of the whole run.
        lr: Initial learning rate.
        power: Exponent of the decay.
        warmup: Number of steps in which the rate rises linearly from ``lr / warmup`` to the schedule; 0 for
            none.
    """
    rising = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
    return float(lr * rising * (1.0 - step / steps) ** power)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every group to ``lr`` times its ``lr_factor``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
