import codecs

import pytest

from icsd.datasets.reading.lists import read_list
from icsd.errors import UserError

LINES = ["2007_000032", "my frame", "köln"]
TEXT = "2007_000032\r\n\r\n  my frame \t\nköln"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
)
def test_every_encoding_gives_the_same_lines(tmp_path, content):
    (tmp_path / "train.txt").write_bytes(content)
    assert read_list(tmp_path / "train.txt") == LINES


def test_paths_of_windows_become_ordinary_ones(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"CamVid\\train\\a.png")
    assert read_list(tmp_path / "train.txt") == ["CamVid/train/a.png"]


def test_other_encodings_are_refused_with_the_line(tmp_path):
    (tmp_path / "train.txt").write_bytes("a\nköln".encode("latin-1"))
    with pytest.raises(UserError, match=r"train\.txt is no text in UTF-8 or UTF-16 \(line 2\)"):
        read_list(tmp_path / "train.txt")


@pytest.mark.parametrize("content", [b"a\nb\0\nc", bytes(4096), b"\xff\xfea", b"\xff\xfe\0\0\1\2\3\4"])
def test_what_is_no_text_is_named(tmp_path, content):
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"list train\.txt"):
        read_list(tmp_path / "train.txt")


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(UserError, match=r"train\.txt cannot be read: No such file"):
        read_list(tmp_path / "train.txt")


def test_marks_that_nobody_sees_and_quotation_marks_around_names_are_left_out(tmp_path):
    lines = ['\ufeff"a b.png","annot/a b.png"', "\u200bc", "'d'\te", "it's.png", "\x1a", '"']
    (tmp_path / "train.txt").write_text("\r\n".join(lines), encoding="utf-8")
    assert read_list(tmp_path / "train.txt") == ["a b.png,annot/a b.png", "c", "d\te", "it's.png"]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf\r\n \r\n"])
def test_a_list_without_a_name_is_named(tmp_path, content):
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"/train\.txt is empty"):
        read_list(tmp_path / "train.txt")
