import pytest
from tests.imports import ROOT

from icsd.datasets.fetch.choosing import check_addresses, resolve_source
from icsd.errors import UserError
from icsd.yaml_files import read_yaml

PRESET = [{"url": "https://host/camvid.tar", "sha256": "aa"}]
IMAGE = "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png"
LABEL = "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"


@pytest.fixture(autouse=True)
def _no_shelf(monkeypatch):
    monkeypatch.delenv("ICSD_DATASETS", raising=False)


def names(sources):
    return [source["path"].rpartition("/")[2] for source in sources]


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


def test_an_unfinished_download_on_the_shelf_is_not_taken(make, monkeypatch):
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


def test_the_published_package_is_taken_among_others(make):
    make.folder(
        dict.fromkeys(
            [
                *("gtFine_trainvaltest.zip", "gtFinePanopticParts_trainval.zip", "gtFine_copy.zip"),
                *("leftImg8bit_trainextra.zip", "leftImg8bit_trainvaltest.zip"),
            ],
            b"",
        ),
        "all",
    )
    chosen = resolve_source("cityscapes", str(make.root / "all"), [])
    assert names(chosen) == ["leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"]


def test_among_other_names_the_package_that_holds_the_files_is_taken(make):
    make.zip({IMAGE.replace("train/", "train_extra/"): b""}, "leftImg8bit_a.zip")
    make.zip({IMAGE: b""}, "leftImg8bit_b.zip")
    make.zip({LABEL.replace("labelIds", "color"): b""}, "gtFine_a.zip")
    make.tar({LABEL: b""}, "gtFine_b.tar.gz")
    (make.root / "gtFine_c.zip").write_bytes(b"damaged")
    assert names(resolve_source("cityscapes", str(make.root), [])) == ["leftImg8bit_b.zip", "gtFine_b.tar.gz"]


def test_several_packages_that_fit_are_all_named(make):
    make.zip({IMAGE: b""}, "leftImg8bit_trainvaltest.zip")
    make.zip({LABEL: b""}, "gtFine_new.zip")
    make.zip({LABEL: b""}, "gtFine_old.zip")
    with pytest.raises(UserError, match=r"each of gtFine_new\.zip, gtFine_old\.zip holds files like gtFine/"):
        resolve_source("cityscapes", str(make.root), [])


def test_several_packages_of_which_none_fits_say_what_is_looked_for(make):
    make.zip({IMAGE: b""}, "leftImg8bit_trainvaltest.zip")
    for name in ("gtFine_a.zip", "gtFine_b.zip"):
        make.zip({LABEL.replace("labelIds", "color"): b""}, name)
    with pytest.raises(
        UserError, match=r"none of .*_gtFine_labelIds\.png; the package is gtFine_trainvaltest"
    ):
        resolve_source("cityscapes", str(make.root), [])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("s3://bucket/x.tar", "addresses begin with https://"),
        ("a\0b", "no file or folder"),
        ("~nobody-of-this-name/x.tar", "cannot be read"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_paths_that_cannot_be_used_are_refused(source, words):
    with pytest.raises(UserError, match=words):
        resolve_source("camvid", source, PRESET)


def test_addresses_are_checked_before_they_are_used_or_written_down():
    unprotected = [{"url": "http://host/x.tar"}]
    with pytest.raises(UserError, match="not protected"):
        check_addresses(None, unprotected)
    with pytest.raises(UserError, match="not protected"):
        check_addresses("http://host/x.tar", PRESET)
    check_addresses("x.tar", unprotected)  # which are not used then
    check_addresses(None, [{"url": "http://host/x.tar", "sha256": "aa"}])


@pytest.mark.parametrize("source", [None, "x.tar", "https://host/x.tar"])
def test_passwords_are_refused_in_the_preset_whatever_is_used(source):
    with pytest.raises(UserError, match="netrc") as caught:
        check_addresses(source, [{"url": "https://user:secret@host/x.tar"}])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "preset", sorted((ROOT / "configs/datasets").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_presets_addresses_are_safe(preset):
    check_addresses(None, read_yaml(preset)["data"]["sources"])
