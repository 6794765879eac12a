"""Datasets: from published files to shards to training batches. Importing this package needs no torch."""

from icsd.data.base import IGNORE, Dataset, Sample
from icsd.data.camvid import CamVid
from icsd.data.cityscapes import Cityscapes
from icsd.data.shapes import Shapes
from icsd.data.voc2012 import Voc2012

DATASETS: dict[str, Dataset | Shapes] = {
    "shapes": Shapes(),
    "camvid": CamVid(),
    "voc2012": Voc2012(),
    "cityscapes": Cityscapes(),
}

__all__ = ["DATASETS", "IGNORE", "Dataset", "Sample", "Shapes"]
