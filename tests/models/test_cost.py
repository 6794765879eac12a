import torch
from torch import nn

from icsd.models.cost import flops, parameters
from icsd.models.deeplab import build_network


def test_a_multiply_add_counts_as_two() -> None:
    model = nn.Conv2d(3, 5, kernel_size=3, padding=1, bias=False)
    assert flops(model, (3, 8, 10)) == 2 * 3 * 5 * 9 * 8 * 10


def test_counting_leaves_the_network_alone() -> None:
    model = build_network("resnet18", num_classes=3, width=0.125)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert flops(model, (3, 32, 32)) > 0
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_flops_of_the_published_student() -> None:
    with torch.device("meta"):
        model = build_network("resnet18", num_classes=21)
    backbone = flops(model.backbone, (3, 513, 513))
    whole = flops(model, (3, 513, 513))
    decoder = 2 * 129**2 * (64 * 48 + 304 * 256 * 9 + 256 * 256 * 9 + 256 * 21)
    aspp = 2 * (33**2 * (512 * 256 * 28 + 1280 * 256) + 512 * 256)
    assert whole - backbone == decoder + aspp


def test_parameters_are_the_trainable_ones() -> None:
    assert parameters(nn.BatchNorm2d(7)) == 14
