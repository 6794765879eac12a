"""SGD with a learning rate of its own for the head, and the poly schedule as a pure function."""

from torch import nn
from torch.optim import SGD


def build_sgd(
    student: nn.Module,
    method: nn.Module | None,
    *,
    lr: float,
    head_lr_factor: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> SGD:
    """SGD over the backbone at ``lr``, over the head and the method's adapters at ``lr * head_lr_factor``.

    Every group has a ``lr_factor``, by which ``set_lr`` multiplies the rate.
    """
    backbone = [p for name, p in student.named_parameters() if name.startswith("backbone.")]
    head = [p for name, p in student.named_parameters() if not name.startswith("backbone.")]
    adapters = list(method.parameters()) if method is not None else []
    groups = [
        {"params": backbone, "lr_factor": 1.0},
        {"params": head + adapters, "lr_factor": head_lr_factor},
    ]
    # Stated because its default differs by device; it changes the speed and no result.
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, foreach=True)


def poly_lr(step: int, *, steps: int, lr: float, power: float) -> float:
    """Learning rate of step ``step`` (from 0): ``lr * (1 - step / steps) ** power``."""
    return float(lr * (1.0 - step / steps) ** power)


def set_lr(optimizer: SGD, lr: float) -> None:
    """Set the rate of every group to ``lr`` times its ``lr_factor``."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
