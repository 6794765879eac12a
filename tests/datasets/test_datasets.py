import subprocess
import sys

import pytest

from icsd.datasets import DATASETS


def test_importing_the_package_does_not_import_torch():
    code = (
        "import sys, icsd.datasets, icsd.datasets.preparation, icsd.datasets.fetch.download\n"
        "import icsd.data.shards\n"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.parametrize("name", DATASETS)
def test_every_class_has_its_own_name_and_colour(name):
    dataset = DATASETS[name]
    assert dataset.name == name
    assert len(set(dataset.classes)) == len(set(dataset.palette)) == len(dataset.classes)


def test_numbers_of_classes_are_those_of_the_literature():
    assert {name: len(dataset.classes) for name, dataset in DATASETS.items()} == {
        "shapes": 9,
        "camvid": 11,
        "voc2012": 21,
        "cityscapes": 19,
    }


@pytest.mark.parametrize("name", DATASETS)
def test_known_digests_belong_to_known_splits(name):
    dataset = DATASETS[name]
    assert set(dataset.labels_sha256) <= set(dataset.split_sizes)
