"""The smallest networks of every library that is supported."""

import sys
from pathlib import Path

import pytest

from icsd.models.contract import Architecture

CLASSES = 5
OWN = """
from torch import nn


class Mine(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        )
        self.head = nn.Conv2d(16, num_classes, 1)

    def forward(self, images):
        return self.head(self.encoder(images))


def with_taps(num_classes):
    return Named(num_classes)


class Named(Mine):
    def forward(self, images):
        deep = self.encoder(images)
        return {"stage2": deep, "logits": self.head(deep)}
"""


def write_segformer(folder: Path, *, num_labels: int = 3) -> str:
    """Writes a folder of transformers with a tiny SegFormer, by default for another number of classes."""
    import transformers

    transformers.logging.disable_progress_bar()
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        num_labels=num_labels,
    )
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    return f"hf:{folder}"


def write_own(folder: Path, patch: pytest.MonkeyPatch, *, module: str = "own_networks") -> Path:
    """A module with networks of one's own, which can be imported while the test runs."""
    file = folder / f"{module}.py"
    file.write_text(OWN, encoding="utf-8")
    patch.syspath_prepend(str(folder))
    patch.delitem(sys.modules, module, raising=False)
    return file


def of_library(name: str, **changes: object) -> Architecture:
    return Architecture(
        **{"name": name, "backbone": "", "num_classes": CLASSES, "output_stride": None} | changes  # type: ignore[arg-type]
    )


def of_timm(name: str, **changes: object) -> Architecture:
    return Architecture(
        **{"backbone": f"timm:{name}", "num_classes": CLASSES, "width": 0.125} | changes  # type: ignore[arg-type]
    )
