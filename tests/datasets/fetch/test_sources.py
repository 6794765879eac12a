import json

import pytest

from icsd.datasets.camvid import CamVid
from icsd.datasets.fetch.sources import download, fetch, resolve_source
from icsd.errors import UserError
from icsd.files import sha256_of

wanted = CamVid().wanted
PRESET = [{"url": "https://host/camvid.tar", "sha256": "aa"}]


@pytest.fixture(autouse=True)
def _no_shelf(monkeypatch):
    monkeypatch.delenv("ICSD_DATASETS", raising=False)


def test_an_explicit_source_wins(make):
    archive = make.tar(make.camvid())
    assert resolve_source("camvid", str(archive), PRESET) == [{"path": str(archive)}]
    assert resolve_source("camvid", "https://other/x.tar", PRESET) == [{"url": "https://other/x.tar"}]


def test_the_shelf_comes_before_the_preset(make, monkeypatch):
    archive = make.tar(make.camvid(), "CamVid-jpeg90.tar")
    monkeypatch.setenv("ICSD_DATASETS", str(make.root))
    assert resolve_source("camvid", None, PRESET) == [{"path": str(archive)}]


def test_a_shelf_may_hold_the_unpacked_dataset(make, monkeypatch):
    folder = make.folder(make.camvid(), "camvid")
    monkeypatch.setenv("ICSD_DATASETS", str(make.root))
    assert resolve_source("camvid", None, PRESET) == [{"path": str(folder)}]


def test_an_unfinished_download_in_the_folder_of_datasets_is_not_taken(make, monkeypatch):
    (make.root / "camvid.tar.part").write_bytes(b"")
    monkeypatch.setenv("ICSD_DATASETS", str(make.root))
    assert resolve_source("camvid", None, PRESET) == PRESET


def test_a_folder_with_all_archives_means_these(make):
    make.folder({"leftImg8bit_trainvaltest.zip": b"", "gtFine_trainvaltest.zip": b"", "x": b""}, "both")
    found = resolve_source("cityscapes", str(make.root / "both"), [])
    assert [source["path"].rpartition("/")[2] for source in found] == [
        "leftImg8bit_trainvaltest.zip",
        "gtFine_trainvaltest.zip",
    ]


def test_sbd_is_taken_along_when_it_is_there(make):
    make.folder({"VOCtrainval_11-May-2012.tar": b""}, "voc")
    assert len(resolve_source("voc2012", str(make.root / "voc"), [])) == 1
    make.folder({"benchmark.tgz": b""}, "voc")
    assert len(resolve_source("voc2012", str(make.root / "voc"), [])) == 2


def test_cityscapes_without_files_says_how_to_get_it():
    with pytest.raises(UserError, match=r"account.*leftImg8bit_trainvaltest\.zip.*data\.source"):
        resolve_source("cityscapes", None, [])


def test_a_source_that_is_not_there_is_named(make):
    with pytest.raises(UserError, match=r"no file or folder .*nowhere\.tar"):
        resolve_source("camvid", str(make.root / "nowhere.tar"), [])


def test_a_shelf_that_is_no_folder_is_named(make, monkeypatch):
    monkeypatch.setenv("ICSD_DATASETS", str(make.root / "nowhere"))
    with pytest.raises(UserError, match="ICSD_DATASETS"):
        resolve_source("camvid", None, PRESET)


def test_generated_scenes_need_no_source():
    assert resolve_source("shapes", None, []) == []


def test_a_local_archive_is_copied_and_checked(make):
    archive = make.tar(make.camvid())
    target = fetch(str(archive), make.root / "raw", wanted=wanted, sha256=sha256_of(archive))
    assert target.read_bytes() == archive.read_bytes()
    with pytest.raises(UserError, match="expected bb"):
        fetch(str(archive), make.root / "other", wanted=wanted, sha256="bb")
    assert list((make.root / "other").iterdir()) == []


def test_a_local_folder_is_packed(make):
    folder = make.folder(make.camvid(), "mine")
    target = fetch(str(folder), make.root / "raw", wanted=wanted)
    assert target.name == "mine.tar"


def test_a_web_page_instead_of_an_archive_is_noticed(make):
    (make.root / "login.tar").write_bytes(b"<html>please log in</html>")
    with pytest.raises(UserError, match="please log in"):
        fetch(str(make.root / "login.tar"), make.root / "raw", wanted=wanted)
    assert list((make.root / "raw").iterdir()) == []


def test_download_writes_archives_and_a_description_without_paths(make):
    archive = make.tar(make.camvid())
    download("camvid", sources=[{"path": str(archive)}], destination=make.root / "raw")
    text = (make.root / "raw/source.json").read_text()
    assert json.loads(text)["files"] == [
        {"name": "data.tar", "bytes": archive.stat().st_size, "sha256": sha256_of(archive)}
    ]
    assert str(make.root) not in text
    assert sorted(path.name for path in make.root.iterdir()) == ["data.tar", "raw"]


def test_a_failed_download_leaves_no_destination_but_keeps_what_is_complete(make):
    archive = make.tar(make.camvid())
    good = {"path": str(archive), "sha256": sha256_of(archive)}
    with pytest.raises(UserError):
        download("camvid", sources=[good, {"path": "nowhere.tar"}], destination=make.root / "raw")
    assert not (make.root / "raw").exists()
    archive.unlink()  # the second call must not need it any more
    download("camvid", sources=[good], destination=make.root / "raw")
    assert (make.root / "raw/data.tar").is_file()


def test_leftovers_of_another_source_do_not_reach_the_destination(make):
    make.folder({"other.tar.part": b"x", "old/x": b""}, "raw.partial")
    download("camvid", sources=[{"path": str(make.tar(make.camvid()))}], destination=make.root / "raw")
    assert sorted(path.name for path in (make.root / "raw").iterdir()) == ["data.tar", "source.json"]


def test_two_sources_with_one_name_are_refused(make):
    archive = make.tar(make.camvid())
    with pytest.raises(UserError, match="same file name"):
        download("camvid", sources=[{"path": str(archive)}] * 2, destination=make.root / "raw")


def test_generated_scenes_download_nothing(make):
    download("shapes", sources=[], destination=make.root / "raw")
    assert json.loads((make.root / "raw/source.json").read_text())["files"] == []
