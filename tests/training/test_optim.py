from typing import Any

import pytest
import torch
from torch import nn

from icsd.training.optim import build_optimizer, lr_at, set_lr


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.head = nn.Linear(2, 2)


def build(method=None, **changes):
    options: dict[str, Any] = {
        "name": "sgd",
        "lr": 0.1,
        "head_lr_factor": 10.0,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
    }
    return build_optimizer(Student(), method, **(options | changes))


def test_the_schedule_falls_from_lr_towards_zero():
    rates = [lr_at(step, steps=10, lr=0.5, power=0.9) for step in range(10)]
    assert rates[0] == 0.5
    assert rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(0.5 * 0.5**0.9)
    assert rates[-1] > 0


def test_the_rate_rises_during_warm_up_and_then_is_the_schedules():
    rates = [lr_at(step, steps=10, lr=0.5, power=0.9, warmup=4.0) for step in range(10)]
    plain = [lr_at(step, steps=10, lr=0.5, power=0.9) for step in range(10)]
    assert rates[:4] == pytest.approx([plain[step] * (step + 1) / 4 for step in range(4)])
    assert rates[4:] == plain[4:]


def test_a_step_of_adamw_is_the_published_one():
    """Loshchilov and Hutter, algorithm 2: at the first step, with decay λ, θ (1 - η λ) - η g / (|g| + ε)."""
    optimizer = build(name="adamw", lr=0.01, weight_decay=0.5, head_lr_factor=1.0)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [p.detach().clone() for p in parameters]
    for index, parameter in enumerate(parameters, start=1):
        parameter.grad = torch.full_like(parameter, 3.0 * (-1) ** index)
    optimizer.step()
    for index, (parameter, old) in enumerate(zip(parameters, before, strict=True), start=1):
        torch.testing.assert_close(parameter.detach(), old * (1 - 0.01 * 0.5) - 0.01 * (-1) ** index)


def test_the_head_and_the_adapters_share_the_faster_group():
    method = nn.Linear(3, 3)
    backbone, head = build(method).param_groups
    assert len(backbone["params"]) == 2
    assert len(head["params"]) == 4
    assert any(parameter is method.weight for parameter in head["params"])


def test_every_group_gets_its_share_of_the_rate():
    optimizer = build()
    set_lr(optimizer, 0.02)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.2]


def test_the_share_survives_a_checkpoint():
    optimizer = build()
    other = build()
    other.load_state_dict(optimizer.state_dict())
    set_lr(other, 1.0)
    assert [group["lr"] for group in other.param_groups] == [1.0, 10.0]
    assert torch.is_tensor(other.param_groups[0]["params"][0])
