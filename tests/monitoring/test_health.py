import math

import pytest
import torch
import torch._functorch.config
from lightning_fabric import Fabric
from torch import nn

from icsd.monitoring.health import (
    HealthMeter,
    compare_terms,
    health_warnings,
    keep_compiled_graphs,
    measured_steps,
)


@pytest.mark.parametrize(
    ("steps", "count", "expected"),
    [
        (60, 2, {15, 45}),
        (60, 1, {30}),
        (3, 2, {0, 2}),
        (4, 3, {0, 2, 3}),
        (2, 5, {0, 1}),
        (1, 1, {0}),
        (9, 0, set()),
    ],
)
def test_measured_steps_are_spread_over_the_epoch(steps, count, expected):
    assert measured_steps(steps, count) == expected


def test_as_many_steps_are_measured_as_asked_for():
    assert all(
        len(measured_steps(steps, count)) == min(steps, count) for steps in range(1, 40) for count in range(9)
    )


def linear(weight, bias):
    """A term whose gradients are the given vectors, for parameters of 3 and 2 values."""
    parts = zip(PARAMETERS, (weight, bias), strict=True)
    return torch.stack([(parameter * torch.tensor(part)).sum() for parameter, part in parts]).sum()


PARAMETERS = [nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(2))]


def compared(terms, weights):
    return {name: value.item() for name, value in compare_terms(terms, weights, PARAMETERS).items()}


def test_shares_and_cosines_are_those_of_the_gradients():
    terms = {"ce": linear([1.0, 2.0, 2.0], [4.0, 0.0]), "kd": linear([3.0, 0.0, 0.0], [-4.0, 0.0])}
    found = compared(terms, {"ce": 2.0, "kd": 3.0})
    # |ce| = 5, |kd| = 5, <ce, kd> = 3 - 16 = -13
    assert found == pytest.approx({"share/ce": 0.4, "share/kd": 0.6, "cosine/kd": -13 / 25})


def test_a_cosine_does_not_depend_on_weights():
    terms = {"ce": linear([1.0, 0.0, 0.0], [0.0, 0.0]), "kd": linear([5.0, 0.0, 0.0], [0.0, 0.0])}
    found = compared(terms, {"ce": 0.0, "kd": 0.1})
    assert found == {"share/ce": 0.0, "share/kd": 1.0, "cosine/kd": 1.0}


def test_a_term_that_reaches_one_parameter_only_is_compared_there():
    terms = {"ce": linear([3.0, 0.0, 0.0], [4.0, 0.0]), "kd": (PARAMETERS[1] * 7).sum()}
    found = compared(terms, {"ce": 1.0, "kd": 1.0})
    assert found["cosine/kd"] == pytest.approx(4 / (5 * math.sqrt(2)))


@pytest.mark.parametrize("dead", [torch.tensor(3.0), nn.Parameter(torch.tensor(1.0)) * 2])
def test_a_term_without_a_gradient_has_no_share_and_no_cosine(dead):
    found = compared({"ce": linear([1.0, 0.0, 0.0], [0.0, 0.0]), "kd": dead}, {"ce": 1.0, "kd": 1.0})
    assert (found["share/ce"], found["share/kd"]) == (1, 0)
    assert math.isnan(found["cosine/kd"])


def test_norms_beyond_float32_are_exact():
    terms = {"ce": linear([1e-30, 0.0, 0.0], [0.0, 0.0]), "kd": linear([3e-30, 0.0, 0.0], [0.0, 0.0])}
    assert compared(terms, {"ce": 1.0, "kd": 1.0}) == pytest.approx(
        {"share/ce": 0.25, "share/kd": 0.75, "cosine/kd": 1}
    )


def test_an_epoch_is_the_mean_of_its_measured_steps_where_a_value_is_defined():
    fabric = Fabric(accelerator="cpu", devices=1)
    network = nn.Linear(3, 1, bias=False)
    meter = HealthMeter(network, frozenset({0, 2, 3}))
    ce = network.weight.sum()
    for step, factor in enumerate([1.0, 100.0, 3.0, 0.0]):
        meter.measure(fabric, step, {"ce": ce, "kd": -factor * ce}, {"ce": 1.0, "kd": 1.0})
    assert meter.row() == pytest.approx(
        {
            "health/share/ce": (0.5 + 0.25 + 1) / 3,
            "health/share/kd": (0.5 + 0.75 + 0) / 3,
            "health/cosine/kd": -1,
        }
    )
    assert network.weight.grad is None


def test_a_value_that_is_never_defined_is_left_out():
    fabric = Fabric(accelerator="cpu", devices=1)
    network = nn.Linear(3, 1)
    meter = HealthMeter(network, frozenset({0}))
    meter.measure(
        fabric, 0, {"ce": network.weight.sum() * 0, "kd": torch.tensor(0.0)}, {"ce": 1.0, "kd": 1.0}
    )
    assert meter.row() == {}


def test_frozen_parameters_are_left_alone():
    network = nn.Linear(3, 1)
    network.bias.requires_grad_(False)
    fabric = Fabric(accelerator="cpu", devices=1)
    meter = HealthMeter(network, frozenset({0}))
    total = network(torch.ones(1, 3)).sum()
    meter.measure(fabric, 0, {"ce": total, "kd": total}, {"ce": 1.0, "kd": 1.0})
    assert meter.row()["health/share/kd"] == pytest.approx(0.5)


def test_a_compiled_module_can_be_measured_after_an_ordinary_step():
    fabric = Fabric(accelerator="cpu", devices=1)
    with torch._functorch.config.patch(donated_buffer=True):  # as in a fresh process
        keep_compiled_graphs()
        network = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
        module = torch.compile(network, backend="aot_eager")
        module(torch.ones(2, 3)).sum().backward()
        meter = HealthMeter(network, frozenset({0}))
        first, second = module(torch.ones(2, 3)).sum(0)
        meter.measure(fabric, 0, {"ce": first, "kd": second}, {"ce": 1.0, "kd": 1.0})
    assert 0 < meter.row()["health/share/kd"] < 1


def history(shares, weights):
    return [
        {f"health/share/{term}": values[epoch] for term, values in shares.items()}
        | {f"weight/{term}": weights[term][epoch] for term in shares}
        for epoch in range(len(shares["ce"]))
    ]


def test_balanced_terms_are_not_warned_of():
    assert health_warnings(history({"ce": [0.6], "kd": [0.4]}, {"ce": [1], "kd": [1]}), method="kd") == []


def test_a_term_that_does_nothing_is_named_with_what_to_do():
    shares = {"ce": [0.6, 0.6], "kd": [0.004, 0.004], "at": [0.396, 0.396]}
    rows = history(shares, {term: [1, 1] for term in shares})
    (sentence,) = health_warnings(rows, method="at_kd")
    assert sentence.startswith("at_kd: the loss term kd does nothing: its share of the gradients is 0.4 %")
    assert "raise methods.at_kd.weights.kd in params.yaml" in sentence
    assert "python -m pipeline tune" in sentence


def test_a_term_that_does_everything_is_named_with_what_to_do():
    rows = history({"ce": [0.05], "kd": [0.95]}, {"ce": [1], "kd": [1]})
    (sentence,) = health_warnings(rows, method="kd")
    assert "kd does everything: its share of the gradients is 95 %" in sentence


def test_a_share_of_nearly_all_is_a_plain_number():
    shares = {"ce": [0.003], "kd": [0.997]}
    (sentence,) = health_warnings(history(shares, {"ce": [1], "kd": [1]}), method="kd")
    assert "its share of the gradients is 100 %" in sentence
    assert "lower methods.kd.weights.kd" in sentence
    rows = history({"ce": [0.95], "kd": [0.05]}, {"ce": [1], "kd": [1]})
    (sentence,) = health_warnings(rows, method="kd")
    assert "ce does everything" in sentence
    assert "raise methods.kd.weights in" in sentence


def test_epochs_without_weight_are_not_held_against_a_term():
    """ALW starts with the teacher alone and ends with the labels."""
    shares = {"ce": [0.0] + [0.6] * 199, "kd": [1.0] + [0.0] * 199, "icsd": [0.0] + [0.4] * 199}
    weights = {term: [float(share > 0) for share in values] for term, values in shares.items()}
    assert health_warnings(history(shares, weights), method="aicsd") == []
    weights["kd"] = [1.0] * 200
    (sentence,) = health_warnings(history(shares, weights), method="aicsd")
    assert "kd does nothing" in sentence


def test_a_term_that_is_switched_off_is_not_warned_of():
    rows = history({"ce": [0.5], "kd": [0.5], "at": [0.0]}, {"ce": [1], "kd": [1], "at": [0]})
    assert health_warnings(rows, method="at") == []


def test_a_run_that_was_not_measured_is_not_warned_of():
    assert health_warnings([{"weight/ce": 1.0, "weight/kd": 1.0}], method="kd") == []


def test_epochs_without_a_measurement_are_passed_over():
    rows = [
        {"weight/ce": 1.0, "weight/kd": 1.0},
        *history({"ce": [0.999], "kd": [0.001]}, {"ce": [1], "kd": [1]}),
    ]
    assert len(health_warnings(rows, method="kd")) == 2


def test_a_loss_of_labels_is_weighted_by_a_key_of_its_own():
    rows = history({"ce": [0.995], "dice": [0.005]}, {"ce": [1], "dice": [1]})
    sentences = health_warnings(rows, method="none")
    assert ["raise train.auxiliary_weight" in sentence for sentence in sentences] == [True, True]
    rows = history({"ce": [0.5], "dice": [0.001], "kd": [0.499]}, {"ce": [1], "dice": [1], "kd": [1]})
    (sentence,) = health_warnings(rows, method="kd")
    assert "raise train.auxiliary_weight in params.yaml" in sentence
