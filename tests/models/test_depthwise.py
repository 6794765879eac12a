import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from icsd.models.contract import Architecture
from icsd.models.depthwise import depthwise_conv2d, speed_up_depthwise
from icsd.models.networks import new_network

GEOMETRIES = [
    ((3, 3), (1, 1), (1, 1), (1, 1)),
    ((5, 5), (1, 1), (4, 4), (2, 2)),
    ((3, 5), (1, 1), (2, 6), (2, 3)),
    ((3, 3), (1, 1), (0, 0), (2, 2)),
    ((3, 3), (1, 1), (5, 5), (1, 1)),  # more padding than the filter reaches
    ((3, 3), (2, 2), (1, 1), (1, 1)),
    ((5, 3), (2, 1), (4, 1), (2, 1)),
]


def gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    slope = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).bfloat16().to(output.dtype)
    return torch.autograd.grad(output, inputs, slope)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GEOMETRIES)
def test_values_and_gradients_are_conv2ds(kernel, stride, padding, dilation, layout):
    x = torch.randn(2, 6, 13, 11, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weight = torch.randn(6, 1, *kernel, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(x, weight, None, stride, padding, dilation, 6)
    ours = depthwise_conv2d(x, weight, stride, padding, dilation)
    torch.testing.assert_close(ours, plain, rtol=0, atol=0)
    torch.testing.assert_close(gradients(ours, x, weight), gradients(plain, x, weight))


def test_under_autocast_the_filters_gradient_is_nearer_to_float32s_than_conv2ds():
    x, weight = torch.randn(4, 8, 20, 20).bfloat16().float(), torch.randn(8, 1, 3, 3, requires_grad=True)
    exact = gradients(F.conv2d(x, weight, None, 1, 1, 1, 8), weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        plain = F.conv2d(x, weight, None, 1, 1, 1, 8)
        ours = depthwise_conv2d(x, weight, (1, 1), (1, 1), (1, 1))
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, plain)
    errors = [(gradients(output, weight)[0] - exact).abs().max() for output in (ours, plain)]
    assert errors[0] < errors[1] / 100


def test_only_what_needs_a_gradient_gets_one():
    x, weight = torch.randn(1, 2, 5, 5), torch.randn(2, 1, 3, 3, requires_grad=True)
    depthwise_conv2d(x, weight, (1, 1), (1, 1), (1, 1)).sum().backward()
    assert x.grad is None
    assert weight.grad is not None
    x.requires_grad_()
    depthwise_conv2d(x, weight.detach(), (1, 1), (1, 1), (1, 1)).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("backbone", ["mobilenetv2", "efficientnet_lite0"])
def test_a_network_computes_the_same_and_keeps_its_names_weights_and_hooks(backbone):
    torch.manual_seed(0)
    network = new_network(Architecture(backbone=backbone, num_classes=3, width=0.25)).double().eval()
    faster = copy.deepcopy(network)
    seen: list[str] = []
    for name, module in faster.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
    speed_up_depthwise(faster)
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):  # which leaves float64 as it is
        outputs = network(images)["logits"], faster(images)["logits"]
    torch.testing.assert_close(*outputs)
    assert len(seen) > 10
    assert faster.state_dict().keys() == network.state_dict().keys()
    for output, of in zip(outputs, (network, faster), strict=True):
        output.square().mean().backward()
        assert sum("Depthwise" in str(function) for function in _functions(output)) == (
            len(seen) if of is faster else 0
        )
    for mine, theirs in zip(faster.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_without_autocast_only_what_is_dilated_takes_another_way():
    network = new_network(Architecture(backbone="mobilenetv2", num_classes=3, width=0.25))
    speed_up_depthwise(network)
    depthwise = [conv for conv in network.modules() if isinstance(conv, nn.Conv2d) and conv.groups > 1]
    output = network(torch.rand(2, 3, 64, 64))["logits"]
    dilated = sum(conv.dilation != (1, 1) for conv in depthwise)
    assert 0 < dilated < len(depthwise)
    assert sum("Depthwise" in str(function) for function in _functions(output)) == dilated


def _functions(output: Tensor) -> set[object]:
    found: set[object] = set()
    waiting = [output.grad_fn]
    while waiting:
        function = waiting.pop()
        if function is not None and function not in found:
            found.add(function)
            waiting += [following for following, _ in function.next_functions]
    return found


def test_other_convolutions_are_left_alone():
    class Own(nn.Conv2d):
        pass

    others = nn.ModuleList(
        [
            nn.Conv2d(4, 4, 3),
            nn.Conv2d(4, 4, 3, groups=2),
            nn.Conv2d(4, 8, 3, groups=4),
            nn.Conv2d(4, 4, 3, groups=4, padding_mode="reflect"),
            nn.Conv2d(4, 4, 3, groups=4, padding="same"),
            Own(4, 4, 3, groups=4),
        ]
    )
    kinds = [type(conv) for conv in others]
    speed_up_depthwise(others)
    assert [type(conv) for conv in others] == kinds


@pytest.mark.parametrize(("dilation", "positions"), [(1, 72.0), (2, 32.0)])
def test_a_bias_is_added(dilation, positions):
    conv = nn.Conv2d(4, 4, 3, groups=4, dilation=dilation)
    images = torch.randn(2, 4, 8, 8)
    expected = conv(images)
    speed_up_depthwise(conv)
    torch.testing.assert_close(conv(images), expected)
    conv(images).sum().backward()
    torch.testing.assert_close(conv.bias.grad, torch.full((4,), positions))
