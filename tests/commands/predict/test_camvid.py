"""All three commands on real photographs of CamVid, if the machine has them."""

import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from pipeline.cli import cli
from tests.camvid import NEEDS_CAMVID, camvid_archive
from tests.deployed import write_run
from tests.imports import ROOT
from tests.libraries import write_own

from icsd.datasets.reading.masks import read_ids

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    NEEDS_CAMVID,
]
FRAMES = ("0001TP_008550", "0001TP_008610", "Seq05VD_f00000")


def typed(*words):
    done = CliRunner().invoke(cli, [*map(str, words)])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


@pytest.fixture
def camvid(tmp_path):
    """Folders of images and labels of the reported split."""
    with tarfile.open(camvid_archive()) as file:
        for member in file.getmembers():
            path = Path(member.name)
            if path.stem in FRAMES and path.parent.name in {"test", "testannot"}:
                member.name = f"{path.parent.name}/{path.name}"
                file.extract(member, tmp_path, filter="data")
    return tmp_path


def test_a_network_is_exported_predicts_and_is_measured_on_camvid(camvid, monkeypatch):
    write_own(camvid, monkeypatch)
    run = write_run(camvid, name="python:own_networks:Mine")
    monkeypatch.chdir(camvid)
    (camvid / "configs").symlink_to(ROOT / "configs")
    (camvid / "params.yaml").symlink_to(ROOT / "params.yaml")
    printed = typed("export", run, "--to", "onnx", "--out", "a.onnx", "--images", "test")
    assert printed.count("100.00% of the pixels") == 3
    assert "1 × 360 × 480" in printed
    for model, out in ((run, "of_run"), ("a.onnx", "of_file")):
        assert "3 masks written" in typed("predict", model, "test", "--out", out, "--tile", 256, "--overlay")
    for frame in FRAMES:
        one, other = (read_ids(camvid / out / f"masks/{frame}.png") for out in ("of_run", "of_file"))
        assert one.shape == (360, 480)
        assert (one == other).mean() > 0.999
    scores = [
        typed(
            "evaluate-file", model, "--images", "test", "--masks", "testannot", "--ignore", 11
        ).splitlines()[1]
        for model in (run, "a.onnx")
    ]
    assert scores[0] == scores[1]
    assert scores[0].endswith("over 3 images")
