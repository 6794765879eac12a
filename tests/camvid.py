"""The real CamVid, if the machine has it."""

import os
from pathlib import Path

import pytest

NEEDS_CAMVID = pytest.mark.skipif(
    "ICSD_DATASETS" not in os.environ, reason="ICSD_DATASETS names no folder with CamVid"
)


def camvid_archive() -> Path:
    """The archive in that folder."""
    [archive] = Path(os.environ["ICSD_DATASETS"]).glob("camvid*.tar")
    return archive
