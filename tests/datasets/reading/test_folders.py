import unicodedata

import pytest

from icsd.datasets.reading.folders import Files, find_folder, folder_in
from icsd.errors import UserError

SUFFIXES = (".png", ".jpg")


def test_the_folder_closest_to_the_root_is_found(make):
    root = make.folder({"a/b/train/x": b"", "z/train/x": b""})
    assert find_folder(root, "train") == root / "z/train"


def test_the_first_of_several_names_wins_however_deep(make):
    root = make.folder({"sets/x": b"", "a/b/VOC2012/sets/x": b""})
    assert find_folder(root, "VOC2012/sets", "sets") == root / "a/b/VOC2012/sets"


def test_a_folder_is_found_however_deep(make):
    root = make.folder({"a/b/c/d/e/f/g/h/i/j/CamVid/train/x": b""})
    assert find_folder(root, "train").parent.name == "CamVid"


def test_a_missing_folder_is_named(make):
    with pytest.raises(UserError, match="gtFine/val"):
        find_folder(make.folder({"x": b""}), "gtFine/val")


def test_the_message_about_a_missing_folder_says_what_there_is(make):
    root = make.folder({"0/leftImg8bit/val/ulm/a.png": b"", "0/leftImg8bit/val/ulm/b.png": b"", "1/x": b""})
    with pytest.raises(UserError, match=r"unpacked \(0/leftImg8bit/val/ulm \(2 files\), 1 \(1 files\)\)"):
        find_folder(root, "gtFine/val")


def test_a_folder_is_found_whatever_its_case_and_the_exact_name_wins(make):
    root = make.folder({"a/jpegimages/x": b"", "b/GTFINE/Val/x": b"", "b/gtFine/val/x": b""})
    assert find_folder(root, "JPEGImages") == root / "a/jpegimages"
    assert find_folder(root, "gtFine/val") == root / "b/gtFine/val"


def test_two_equally_close_folders_are_both_named(make):
    root = make.folder({"CamVid/train/x": b"", "CamVid (copy)/train/x": b""})
    with pytest.raises(UserError, match=r"CamVid/train.*CamVid \(copy\)/train|copy.*and CamVid/train"):
        find_folder(root, "train")


@pytest.mark.parametrize("name", ["frame.png", "frame.PNG", "Frame.Jpg"])
def test_a_file_is_found_whatever_its_suffix_and_case(make, name):
    root = make.folder({name: b"", "other.png": b"", "frame.txt": b""})
    for asked in ("frame", "frame.png", "frame.jpg"):
        assert Files(root, SUFFIXES).named(asked) == root / name


def test_a_missing_file_has_the_first_suffix(make):
    files = Files(make.folder({"a.png": b""}), SUFFIXES)
    assert files.named("b") is None
    assert files.path("b") == files.path("b.jpg") == files.folder / "b.png"


def test_dots_in_names_are_no_suffixes(make):
    root = make.folder({"scene.07.png": b""})
    assert Files(root, SUFFIXES).named("scene.07") == root / "scene.07.png"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_written_in_two_ways(make, form):
    root = make.folder({unicodedata.normalize(form, "köln.png"): b""})
    for other in ("NFC", "NFD"):
        assert Files(root, SUFFIXES).named(unicodedata.normalize(other, "köln")) is not None


def test_two_files_of_one_name_are_refused_unless_the_suffix_is_given(make):
    files = Files(make.folder({"a.jpg": b"", "a.png": b"", "b.png": b""}), SUFFIXES)
    assert files.named("a.png") == files.folder / "a.png"
    for ask in (lambda: files.named("a"), files.all):
        with pytest.raises(
            UserError, match=r"tree/ holds several files of one name \(1 times: a.jpg = a.png"
        ):
            ask()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("plain", "plain.png"),
        ("plain.jpg", "plain.png"),
        ("my frame", "my frame.png"),
        ("plain 1", "plain.png"),
        ("/SegNet/CamVid/train/plain.png /SegNet/CamVid/trainannot/plain.png", "plain.png"),
        ("/SegNet/CamVid/train/my frame.png /SegNet/CamVid/trainannot/my frame.png", "my frame.png"),
        ("train/my frame.png\ttrainannot/my frame_L.png", "my frame.png"),
        ("train/plain.png,trainannot/plain_L.png", "plain.png"),
        ("gone.png trainannot/gone.png", "gone.png"),
        ("gone 7", "gone 7.png"),
        ("0 plain.png", "plain.png"),
        ("12,train/my frame.png,trainannot/my frame.png", "my frame.png"),
        ("7 plain", "7 plain.png"),
    ],
)
def test_a_line_names_the_file_that_there_is(make, line, name):
    files = Files(make.folder({"plain.png": b"", "my frame.png": b"", "my.png": b""}), SUFFIXES)
    assert files.listed([line]) == [files.folder / name]


def test_a_comment_in_a_list_is_no_file_unless_one_is_called_so(make):
    root = make.folder({"#1.png": b"", "a.png": b""})
    listed = Files(root, [".png"]).listed(["# image mask", "#1.png x", "a", "b"])
    assert [path.name for path in listed] == ["#1.png", "a.png", "b.png"]


def test_a_folder_is_found_in_another_case(make):
    root = make.folder({"Aachen/x.png": b"", "ulm/x.png": b"", "ULM/x.png": b""})
    assert folder_in(root, "aachen") == root / "Aachen"
    assert folder_in(root, "ulm") == root / "ulm"
    assert folder_in(root, "Ulm") == root / "Ulm"
