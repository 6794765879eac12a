"""A folded network gives the maps of its own, and the network itself stays as it is."""

import copy

import pytest
import torch
from tests.libraries import CLASSES, of_library, of_timm
from torch import nn
from torch.nn import functional as F

from icsd.models.catalogue import BACKBONES
from icsd.models.deeplab import build_network
from icsd.models.folding import TOLERANCE, folded, num_batchnorms
from icsd.models.networks import new_network

pytestmark = pytest.mark.usefixtures("one_thread")
OF_LIBRARIES = {
    "smp:unet/resnet18": of_library("smp:unet/resnet18"),
    "timm:test_resnet": of_timm("test_resnet"),  # its BatchNorms have an activation in them
}


def images(batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(batch))


@torch.no_grad()
def trained(network: nn.Module) -> nn.Module:
    """The network with BatchNorm statistics and scales as after training: none is 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            for tensor, middle in (
                (module.running_mean, 0.0),
                (module.running_var, 1.0),
                (module.weight, 1.0),
                (module.bias, 0.0),
            ):
                assert tensor is not None
                tensor.copy_(middle + torch.rand(tensor.shape, generator=generator) - 0.5)
    return network.eval()


def new(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name in OF_LIBRARIES:
        return trained(new_network(OF_LIBRARIES[name]))
    return trained(build_network(name, num_classes=CLASSES, width=0.125))


@pytest.mark.parametrize("name", [*BACKBONES, *OF_LIBRARIES])
@torch.no_grad()
def test_every_batchnorm_is_folded_and_every_map_is_the_same(name):
    network = new(name)
    made = folded(network, images())
    assert num_batchnorms(network) > 0
    assert num_batchnorms(made) == 0
    assert not made.training
    others = images(batch=2)
    found, wanted = made(others), network(others)
    assert list(found) == list(wanted)
    for tap, value in wanted.items():
        assert (found[tap] - value).abs().max() <= TOLERANCE / 10 * value.abs().max(), tap


def test_the_network_itself_is_not_changed():
    network = new("resnet18").train()
    before = copy.deepcopy(network.state_dict())
    folded(network, images())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert list(before) == list(network.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@torch.no_grad()
def test_weights_in_bfloat16_are_what_autocast_makes_of_them():
    network = new("efficientnet_lite0")
    plain, rounded = (folded(network, images(), dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = rounded(images(2)), plain(images(2))
    assert all(torch.equal(found[tap], wanted[tap]) for tap in wanted)


class Odd(nn.Module):
    """A convolution with BatchNorm, and another pair that tests run in their own way."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def deep(self, x):
        return self.last(self.second(x))

    def forward(self, x):
        return {"logits": self.deep(F.relu(self.norm(self.first(x))))}


class InPlace(Odd):
    def deep(self, x):
        return self.last(F.relu(self.second(x), inplace=True))


class Twice(Odd):
    def deep(self, x):
        return self.second(self.last(self.second(x)))


class Before(Odd):
    def deep(self, x):
        return self.second(self.last(x))


class Standardised(nn.Conv2d):
    def forward(self, input):
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(input, weight / weight.std(), None, padding=1)


class OfItsOwnKind(Odd):
    def __init__(self):
        super().__init__()
        self.second = Standardised(4, 4, 3)


class WithoutStatistics(Odd):
    def __init__(self):
        super().__init__()
        self.last = nn.BatchNorm2d(4, track_running_stats=False)


@pytest.mark.parametrize("kind", [InPlace, Twice, Before, OfItsOwnKind, WithoutStatistics])
@torch.no_grad()
def test_what_cannot_be_folded_stays_and_the_rest_is_folded(kind):
    network = trained(kind())
    made = folded(network, images())
    assert num_batchnorms(made) == 1
    assert isinstance(made.norm, nn.Identity)
    torch.testing.assert_close(made(images(2))["logits"], network(images(2))["logits"])


class ReadElsewhere(Odd):
    def deep(self, x):
        x = self.second(x)
        return self.last(x) + x


class AskedForMore(Odd):
    def deep(self, x):
        return super().deep(x) * self.last.weight.view(-1, 1, 1)


@pytest.mark.parametrize("kind", [ReadElsewhere, AskedForMore])
@torch.no_grad()
def test_a_network_that_would_not_be_the_same_stays_as_a_whole(kind):
    network = trained(kind())
    made = folded(network, images(), dtype=torch.bfloat16)
    assert num_batchnorms(made) == 2
    assert torch.equal(made(images(2))["logits"], network(images(2))["logits"])
