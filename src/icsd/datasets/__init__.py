"""Datasets: from published files to shards to training batches. Importing this package needs no torch."""

from icsd.core.labels import IGNORE
from icsd.datasets.base import Archive, Dataset, Sample
from icsd.datasets.camvid import CamVid
from icsd.datasets.cityscapes import Cityscapes
from icsd.datasets.shapes import Shapes
from icsd.datasets.voc2012 import Voc2012

DATASETS: dict[str, Dataset | Shapes] = {
    "shapes": Shapes(),
    "camvid": CamVid(),
    "voc2012": Voc2012(),
    "cityscapes": Cityscapes(),
}


def dataset_of(dataset: str | Dataset | Shapes) -> Dataset | Shapes:
    """Looks a name up in ``DATASETS``; returns a dataset as it is."""
    return DATASETS[dataset] if isinstance(dataset, str) else dataset


__all__ = ["DATASETS", "IGNORE", "Archive", "Dataset", "Sample", "Shapes", "dataset_of"]
