import pytest
import torch
from torch import nn

from icsd.errors import UserError
from icsd.models.backbones import BACKBONES
from icsd.models.cost import parameters
from icsd.models.deeplab import PooledBatchNorm, build_network

TINY = 0.125


# arXiv 2308.04243 prints 59.3 M, 16.6 M and 5.9 M for 21 classes.
@pytest.mark.parametrize(
    ("backbone", "num_classes", "expected"),
    [
        ("resnet101", 21, 59_344_309),
        ("resnet101", 19, 59_343_795),
        ("resnet101", 11, 59_341_739),
        ("resnet18", 21, 16_608_181),
        ("resnet18", 19, 16_607_667),
        ("resnet18", 11, 16_605_611),
        ("mobilenetv2", 21, 5_816_053),
        ("mobilenetv2", 19, 5_815_539),
        ("mobilenetv2", 11, 5_813_483),
        ("efficientnet_lite0", 21, 6_963_189),
        ("efficientnet_lite1", 21, 7_727_861),
        ("efficientnet_lite2", 21, 8_599_861),
    ],
)
def test_parameter_counts_are_the_published_ones(backbone: str, num_classes: int, expected: int) -> None:
    with torch.device("meta"):
        model = build_network(backbone, num_classes=num_classes)
    assert parameters(model) == expected


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_every_tap_has_its_channels(backbone: str, output_stride: int) -> None:
    model = build_network(backbone, num_classes=5, width=TINY, output_stride=output_stride).eval()
    with torch.no_grad():
        taps = model(torch.zeros(2, 3, 48, 64))
    assert list(taps) == ["stage1", "stage2", "stage3", "stage4", "aspp", "decoder", "logits"]
    assert {name: tap.shape[1] for name, tap in taps.items()} == model.channels
    assert taps["logits"].shape == (2, 5, 12, 16)
    assert taps["aspp"].shape[-2:] == (48 // output_stride, 64 // output_stride)


def test_published_sizes() -> None:
    with torch.device("meta"):
        taps = build_network("resnet18", num_classes=21)(torch.zeros(2, 3, 513, 513))
    sizes = {name: (tap.shape[1], tap.shape[-1]) for name, tap in taps.items()}
    assert sizes == {
        "stage1": (64, 129),
        "stage2": (128, 65),
        "stage3": (256, 33),
        "stage4": (512, 33),
        "aspp": (256, 33),
        "decoder": (256, 129),
        "logits": (21, 129),
    }


def test_taps_are_what_they_say() -> None:
    model = build_network("resnet18", num_classes=3, width=TINY).eval()
    with torch.no_grad():
        taps = model(torch.randn(1, 3, 32, 32))
        logits = model.classifier(taps["decoder"].relu())
    assert (taps["aspp"] >= 0).all()
    assert (taps["decoder"] < 0).any()
    torch.testing.assert_close(logits, taps["logits"])


def test_only_the_classifier_has_a_bias() -> None:
    model = build_network("resnet18", num_classes=3, width=TINY)
    biased = [name for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    assert biased == ["classifier"]


@pytest.mark.parametrize(("output_stride", "rates"), [(16, [1, 6, 12, 18]), (8, [1, 12, 24, 36])])
def test_pyramid_rates(output_stride: int, rates: list[int]) -> None:
    model = build_network("resnet18", num_classes=3, width=TINY, output_stride=output_stride)
    convs = [branch.get_submodule("0") for branch in model.aspp.branches]
    assert [conv.dilation[0] for conv in convs if isinstance(conv, nn.Conv2d)] == rates


def test_dropouts_are_the_published_ones() -> None:
    model = build_network("resnet18", num_classes=3, width=TINY)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5, 0.1]


def test_a_batch_of_one_trains() -> None:
    model = build_network("resnet18", num_classes=3, width=TINY)
    model(torch.randn(1, 3, 32, 32))["logits"].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_pooled_norm_uses_running_statistics_for_a_single_value() -> None:
    norm = PooledBatchNorm(4)
    norm.running_mean = torch.arange(4.0)
    single = torch.randn(1, 4, 1, 1)
    torch.testing.assert_close(
        norm(single), (single - norm.running_mean.view(1, 4, 1, 1)) / (1 + norm.eps) ** 0.5
    )
    assert norm.num_batches_tracked == 0


def test_pooled_norm_is_a_batch_norm_otherwise() -> None:
    ours, reference = PooledBatchNorm(4), nn.BatchNorm2d(4)
    batch = torch.randn(3, 4, 1, 1)
    assert torch.equal(ours(batch), reference(batch))
    assert torch.equal(ours.eval()(batch[:1]), reference.eval()(batch[:1]))
    assert ours.state_dict().keys() == reference.state_dict().keys()


def test_odd_sizes_pass() -> None:
    model = build_network("mobilenetv2", num_classes=3, width=TINY).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 45, 67))["logits"].shape == (1, 3, 12, 17)


def test_channels_last_changes_nothing() -> None:
    model = build_network("resnet18", num_classes=3, width=TINY).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)["logits"]
        last = model.to(memory_format=torch.channels_last)(
            images.contiguous(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(last["logits"], expected, rtol=1e-4, atol=1e-4)


def test_bf16_autocast_trains() -> None:
    model = build_network("resnet18", num_classes=3, width=TINY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(torch.randn(2, 3, 32, 32))["logits"]
    assert logits.dtype == torch.bfloat16
    logits.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
def test_survives_export_with_any_batch_and_size() -> None:
    model = build_network("resnet18", num_classes=3, width=TINY).eval()
    size = {dim: torch.export.Dim.DYNAMIC for dim in (0, 2, 3)}
    program = torch.export.export(model, (torch.randn(2, 3, 32, 48),), dynamic_shapes=(size,), strict=False)
    images = torch.randn(3, 3, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images)["logits"], model(images)["logits"])


def test_unknown_backbone_is_named() -> None:
    with pytest.raises(UserError, match=r"'resnet81' is not a backbone; did you mean 'resnet18'"):
        build_network("resnet81", num_classes=3)


def test_unknown_output_stride_is_refused() -> None:
    with pytest.raises(UserError, match="output_stride must be 8, 16 or 32, not 12"):
        build_network("resnet18", num_classes=3, output_stride=12)


def test_dropout_is_the_published_or_what_is_asked_for() -> None:
    published = build_network("resnet18", num_classes=3, width=TINY)
    light = build_network("resnet18", num_classes=3, width=TINY, dropout=0.1)
    for model, inner in ((published, 0.5), (light, 0.1)):
        assert model.aspp_dropout.p == model.decoder.dropout.p == inner
        assert model.decoder_dropout.p == pytest.approx(inner / 5)
