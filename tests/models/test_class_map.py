"""Logits of a network with other classes, as logits of the dataset's."""

import copy

import pytest
import torch
from safetensors import safe_open

from icsd.models.class_map import class_map_of, composed, map_classes, mapped_logits
from icsd.models.cost import flops
from icsd.models.deeplab import build_network
from icsd.models.weights import load_network, save_weights

MAP = ((3,), (0, 4), (1,))
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("resnet18", num_classes=5, width=0.125).eval()


def test_probabilities_of_channels_of_one_class_add_up():
    logits = torch.randn(2, 5, 4, 4)
    kept = logits.softmax(1)[:, [0, 1, 3, 4]]
    kept = kept / kept.sum(1, keepdim=True)  # channel 2 is left out
    expected = torch.stack([kept[:, 2], kept[:, 0] + kept[:, 3], kept[:, 1]], dim=1)
    assert torch.allclose(mapped_logits(logits, MAP).softmax(1), expected, atol=1e-6)
    assert torch.equal(mapped_logits(logits, MAP)[:, 0], logits[:, 3])


def test_only_the_logits_change(network):
    before = network(IMAGES)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    map_classes(network, MAP)
    after = network(IMAGES)
    assert network.channels["logits"] == 3 == after["logits"].shape[1]
    assert torch.equal(after["logits"], mapped_logits(before["logits"], MAP))
    assert all(torch.equal(before[name], after[name]) for name in before if name != "logits")
    assert network.state_dict().keys() == state.keys()


def test_a_network_comes_back_with_its_map(network, tmp_path):
    plain, file = tmp_path / "plain.safetensors", tmp_path / "mapped.safetensors"
    save_weights(network, plain)
    map_classes(network, MAP)
    save_weights(network, file)
    loaded = load_network(file).eval()
    assert class_map_of(loaded) == MAP
    assert torch.equal(loaded(IMAGES)["logits"], network(IMAGES)["logits"])
    assert class_map_of(load_network(plain)) is None
    with safe_open(plain, framework="pt") as opened:
        assert "class_map" not in opened.metadata()["architecture"]


def test_copies_exports_and_costs_have_the_map(network):
    map_classes(network, MAP)
    assert torch.equal(copy.deepcopy(network)(IMAGES)["logits"], network(IMAGES)["logits"])
    assert flops(network, (3, 32, 32)) > 0
    program = torch.export.export(network, (IMAGES,))
    assert torch.allclose(program.module()(IMAGES)["logits"], network(IMAGES)["logits"], atol=1e-5)


@pytest.mark.parametrize("wrong", [((0,), (5,)), ((0,), ()), ((0,), (-1,)), ()])
def test_a_map_that_is_none_is_refused(network, wrong):
    with pytest.raises(ValueError, match="no map of 5 channels"):
        map_classes(network, wrong)


def test_a_map_of_mapped_classes_is_one_of_channels():
    assert composed([(2,), (0, 1)], MAP) == ((1,), (3, 0, 4))
    assert composed([[1], [0]], None) == ((1,), (0,))
