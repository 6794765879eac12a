"""A batch divided among processes or into parts trains the same network as a whole batch."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.ranks import Ranks
from tests.training.divided import train
from timm.layers import BatchNormAct2d
from torch import nn

from icsd.errors import UserError
from icsd.methods import METHODS
from icsd.models.divided import synchronise_batchnorm
from icsd.stages.training.setup import _micro_batches

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in METHODS},
    "none with dice": ("none", {"auxiliary": "dice"}),
    "none with lovasz": ("none", {"auxiliary": "lovasz"}),
    "icsd, released": ("icsd", {"options": {"variant": "released"}}),
    "dist, all pixels": ("dist", {"options": {"ignored": "include"}}),
    "kd, clipped": ("kd", {"clip": 0.1}),
}
TOGETHER = {
    "sp",
    "dist",
    "dist, all pixels",
    "cirkd",
    "overhaul",
    "icsd, released",
    "none with dice",
    "none with lovasz",
}
"""What compares the images of a forward pass: parts that run one after the other never meet."""
CORE = ("none with dice", "sp", "dist", "cirkd", "mgd", "overhaul", "icsd, released", "kd, clipped")
"""Every way in which a loss depends on the whole batch."""


@pytest.fixture(scope="module")
def ranks():
    processes = Ranks(4)
    yield processes
    processes.close()


def trained(ranks, case, world=1, parts=1, **more):
    name, changes = CASES[case]
    return ranks(world, partial(train, **changes, **more), name, parts)


def same(one, other, *, health=True):
    """Weights and history, up to rounding."""
    for name, value in one["weights"].items():
        np.testing.assert_allclose(other["weights"][name], value, rtol=2e-4, atol=5e-6, err_msg=name)
    for row, other_row in zip(one["history"], other["history"], strict=True):
        for column, value in row.items():
            if health or not column.startswith("health/"):
                assert other_row[column] == pytest.approx(value, rel=2e-4, abs=1e-4), column


def check_processes(ranks, case, world):
    whole = trained(ranks, case)[0]
    divided = trained(ranks, case, world)
    same(whole, divided[0])
    for other in divided[1:]:
        assert other["history"] == divided[0]["history"]
        for name, value in divided[0]["weights"].items():
            assert np.array_equal(other["weights"][name], value), name


@pytest.mark.parametrize("case", CORE)
def test_two_processes_train_what_one_does(ranks, case):
    check_processes(ranks, case, 2)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_several_processes_train_what_one_does(ranks, case, world):
    check_processes(ranks, case, world)


@pytest.mark.parametrize("case", ["kd", "mgd"])
def test_accumulated_parts_of_two_processes_train_what_one_batch_does(ranks, case):
    same(trained(ranks, case, norm=False)[0], trained(ranks, case, 2, parts=2, norm=False)[0], health=False)


@pytest.mark.slow
@pytest.mark.parametrize(("world", "parts"), [(1, 2), (1, 8), (2, 2), (4, 2)])
@pytest.mark.parametrize("case", [case for case in CASES if case not in TOGETHER])
def test_accumulated_parts_train_what_one_batch_does(ranks, case, world, parts):
    whole = trained(ranks, case, norm=False)[0]
    same(whole, trained(ranks, case, world, parts=parts, norm=False)[0], health=False)


def test_what_compares_images_of_a_forward_pass_is_another_loss_in_accumulated_parts(ranks):
    whole, parts = (trained(ranks, "sp", parts=parts, norm=False)[0]["history"] for parts in (1, 2))
    assert parts[0]["loss/sp"] != pytest.approx(whole[0]["loss/sp"], rel=0.1)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_training_goes_on_in_another_number_of_processes(ranks, before, after):
    state = trained(ranks, "cirkd", before)[0]["state"]
    assert state["progress"]["epoch"] == 1
    same(trained(ranks, "cirkd")[0], trained(ranks, "cirkd", after, saved=state)[0])


def activated(fabric):
    """Run timm's own BatchNorm on this process's share of a batch: outputs, statistics, gradients."""
    torch.manual_seed(0)
    network = nn.Sequential(BatchNormAct2d(3))
    images, factors = torch.randn(8, 3, 4, 4), torch.randn(8, 3, 4, 4)
    if fabric.world_size > 1:
        synchronise_batchnorm(network, fabric.device)
    images, factors = (x.chunk(fabric.world_size)[fabric.global_rank] for x in (images, factors))
    images.requires_grad_()
    output = network(images)
    (output * factors).sum().backward()
    norm: Any = network[0]
    return output.detach().numpy(), norm.running_var.numpy(), images.grad.numpy()


def test_batchnorm_with_an_activation_in_it_is_synchronised(ranks):
    ((output, variance, gradient),) = ranks(1, activated)
    halves = ranks(2, activated)
    np.testing.assert_allclose(np.concatenate([half[0] for half in halves]), output, atol=1e-6)
    np.testing.assert_allclose(halves[0][1], variance, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([half[2] for half in halves]), gradient, atol=1e-6)


def test_a_kind_of_batchnorm_that_is_not_known_is_refused():
    class Own(nn.BatchNorm2d):
        """A BatchNorm with unknown behaviour."""

    with pytest.raises(UserError, match="sync_batchnorm: the network's Own cannot be synchronised"):
        synchronise_batchnorm(nn.Sequential(Own(3)), torch.device("cpu"))


@pytest.mark.parametrize(
    ("batch", "world", "largest", "parts"),
    [(8, 1, None, 1), (8, 1, 8, 1), (8, 1, 3, 4), (8, 2, 3, 2), (6, 1, 4, 2), (7, 1, 2, 7), (7, 2, 2, 1)],
)
def test_the_fewest_equal_parts_that_fit_are_taken(batch, world, largest, parts):
    job: Any = SimpleNamespace(
        training=SimpleNamespace(batch=batch),
        params=SimpleNamespace(runtime=SimpleNamespace(max_batch_per_device=largest)),
    )
    fabric: Any = SimpleNamespace(world_size=world)
    assert _micro_batches(job, fabric) == parts
