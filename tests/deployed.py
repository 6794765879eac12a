"""A run's folder as training leaves it, without the training; and images to use the network on."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from icsd.files import sha256_of
from icsd.models.contract import Architecture
from icsd.models.names import DEEPLAB
from icsd.models.networks import new_network
from icsd.models.weights import save_weights
from icsd.records import NetworkRecord, TrainRecord, write_record

CLASSES = 11
"""CamVid's."""


def write_run(
    folder: Path,
    *,
    method: str = "kd",
    seed: int = 0,
    input_scale: float = 1.0,
    diverged: bool = False,
    name: str = DEEPLAB,
) -> Path:
    """A student of CamVid with random weights.

    Args:
        name: The architecture; DeepLabV3+ takes seconds to trace, ``python:own_networks:Mine`` none.
    """
    torch.manual_seed(seed)
    backbone, stride = ("resnet18", 16) if name == DEEPLAB else ("", None)
    network = new_network(
        Architecture(
            name=name,
            backbone=backbone,
            num_classes=CLASSES,
            width=0.125 if backbone else 1.0,
            output_stride=stride,
        )
    )
    with torch.no_grad():
        for module in network.modules():  # statistics as of training: what is random stays within bounds
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.train()(torch.randn(4, 3, 96, 96))
        network.eval()
        if diverged:
            next(network.parameters()).fill_(float("nan"))
    run = folder / "runs/camvid" / method / f"resnet18-{seed}"
    save_weights(network, run / "student.safetensors")
    record = TrainRecord(
        kind="student",
        dataset="camvid",
        method=method,
        network=NetworkRecord(backbone="resnet18", width=0.125, output_stride=16),
        seed=seed,
        pretrained=False,
        epochs=1,
        batch=4,
        crop=(96, 96),
        num_train_images=4,
        num_validation_images=1,
        selected="last",
        selected_epoch=1,
        weights_sha256=sha256_of(run / "student.safetensors"),
        params={
            "data": {
                "reader": "camvid",
                "classes": CLASSES,
                "splits": {"train": "train", "validation": "val", "report": "test"},
                "holdout": 0,
                "generated": None,
                "folder": None,
            },
            "images": {"input_scale": input_scale},
        },
    )
    write_record(run / "train.json", record)
    return run


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth picture, uint8 [H, W, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def write_pictures(folder: Path, *sizes: tuple[int, int]) -> Path:
    """``0.png``, ``1.png``, … of these heights and widths."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(sizes):
        Image.fromarray(picture(*size, seed=number)).save(folder / f"{number}.png")
    return folder
