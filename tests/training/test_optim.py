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


KINDS: list[dict[str, Any]] = [
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.0},
    {"name": "sgd", "nesterov": True},
    {"name": "adamw"},
]


def weights_after(changes, **how):
    """The weights after five steps with a falling rate; ``how`` overrides options of the parameter groups."""
    torch.manual_seed(0)
    optimizer = build(lr=0.01, weight_decay=0.05, **changes)
    for group in optimizer.param_groups:
        group.update(how)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for step in range(5):
        set_lr(optimizer, lr_at(step, steps=5, lr=0.01, power=0.9))
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return parameters


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_the_way_through_the_weights_is_no_matter_of_results(changes):
    one_by_one = weights_after(changes, foreach=False)
    assert all(map(torch.equal, weights_after(changes), one_by_one))


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_one_pass_over_the_weights_changes_no_more_than_rounding(changes):
    fused = weights_after(changes | {"fused": True})
    assert build(**changes, fused=True).param_groups[0]["fused"]
    for found, wanted in zip(fused, weights_after(changes), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


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
