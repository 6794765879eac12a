"""The optimiser, with a learning rate of its own for the head, and the schedule as a pure function."""

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
    """An optimiser over the backbone at ``lr``, over head and adapters at ``lr * head_lr_factor``.

    Every group has a ``lr_factor``, by which ``set_lr`` multiplies the rate.

    Args:
        student: Its ``backbone_prefixes`` say how the names of the backbone's parameters begin.
        method: Its adapters train with the head; None without.
        name: ``sgd``, as published, or ``adamw`` (Loshchilov and Hutter, ICLR 2019), whose β is torch's.
        lr: Of the backbone.
        head_lr_factor: The head's learning rate is this times the backbone's.
        momentum: Of SGD.
        nesterov: Of SGD.
        weight_decay: SGD adds it to the gradient; AdamW shrinks the weights by ``lr * weight_decay`` a step.
        fused: All in one pass over the weights: up to three times as fast, with other last digits.
    """
    prefixes = getattr(student, "backbone_prefixes", ("backbone.",))
    backbone = [p for name, p in student.named_parameters() if name.startswith(prefixes)]
    head = [p for name, p in student.named_parameters() if not name.startswith(prefixes)]
    adapters = list(method.parameters()) if method is not None else []
    groups = [
        {"params": backbone, "lr_factor": 1.0},
        {"params": head + adapters, "lr_factor": head_lr_factor},
    ]
    # foreach is stated because its default differs by device; against a loop it changes no result.
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
    """Learning rate of a step: ``lr * (1 - step / steps) ** power``, after a linear rise.

    Args:
        step: Of the whole run, from 0.
        steps: All of them.
        lr: What it falls from.
        power: Of the fall.
        warmup: Steps over which the rate rises from ``lr / warmup`` to where the schedule is; 0 for none.
    """
    rising = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
    return float(lr * rising * (1.0 - step / steps) ** power)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the rate of every group to ``lr`` times its ``lr_factor``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
