import os
import random
import shutil
import stat
import tarfile
import zipfile
from contextlib import suppress
from functools import partial

import pytest

from icsd.datasets.archives import is_archive, is_archive_name, member_names, unpack, verify
from icsd.errors import UserError

TREE = {"top/a.png": b"a" * 3000, "top/b/c.png": b"c" * 700, "top/readme.txt": b"no"}


def wanted(member: str) -> bool:
    return member.endswith(".png")


def unpacked(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz"])
def test_tars_of_every_kind_give_the_wanted_files(make, name):
    archive = make.tar(TREE, name) if name != "x.tgz" else make.tar(TREE, "x.tar.gz").rename(make.root / name)
    assert unpack(archive, make.root / "out", wanted=wanted) == 2
    assert unpacked(make.root / "out") == {name: TREE[name] for name in ("top/a.png", "top/b/c.png")}


def test_zips_give_the_wanted_files(make):
    assert unpack(make.zip(TREE), make.root / "out", wanted=wanted) == 2
    assert unpacked(make.root / "out")["top/b/c.png"] == TREE["top/b/c.png"]


@pytest.mark.parametrize(
    "member", ["../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\evil.png"]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_outside_the_folder_refuse_the_whole_archive(make, kind, member):
    archive = getattr(make, kind)(TREE | {member: b"evil"})
    with pytest.raises(UserError, match="points outside the folder"):
        unpack(archive, make.root / "inner/out", wanted=wanted)
    assert not (make.root / "inner/out").exists()
    assert not list(make.root.rglob("evil*"))


@pytest.mark.parametrize(
    "info",
    [
        link("top/l", "/etc/passwd"),
        link("top/l", "../../x"),
        link("top/l", "../x", tarfile.LNKTYPE),
        link("top/l", "", tarfile.CHRTYPE),
        link("top/l", "", tarfile.FIFOTYPE),
    ],
)
def test_links_outside_and_devices_are_refused_even_if_unwanted(make, info):
    with pytest.raises(UserError, match="refused"):
        unpack(make.tar(TREE, extra=(info,)), make.root / "out", wanted=wanted)


def test_links_inside_are_skipped_unless_wanted(make):
    archive = make.tar(TREE, extra=(link("top/l", "a.png"),))
    assert unpack(archive, make.root / "out", wanted=wanted) == 2
    with pytest.raises(UserError, match="is a link"):
        unpack(make.tar(TREE, extra=(link("l.png", "top/a.png"),)), make.root / "out", wanted=wanted)


def test_links_in_zips_are_checked_as_well(make):
    info = zipfile.ZipInfo("top/l")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(make.root / "l.zip", "w") as archive:
        archive.writestr(info, "../../etc")
    with pytest.raises(UserError, match="points outside"):
        unpack(make.root / "l.zip", make.root / "out", wanted=wanted)


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz", "x.zip"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_archives_are_named_and_leave_nothing(make, name, share):
    noise = {f"top/{number}.png": random.Random(number).randbytes(2000) for number in range(9)}
    archive = (make.zip if name.endswith("zip") else make.tar)(noise, name)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * sum(map(len, noise.values())))])
    with pytest.raises(UserError, match=r"x\..* is damaged or incomplete"):
        unpack(archive, make.root / "out", wanted=wanted)
    assert [path.name for path in make.root.iterdir()] == [name]


def test_a_tar_cut_between_two_members_is_noticed(make):
    archive = make.tar({"a.png": b"a" * 512, "b.png": b"b" * 512})
    archive.write_bytes(archive.read_bytes()[:1024])
    with pytest.raises(UserError, match="incomplete"):
        unpack(archive, make.root / "out", wanted=wanted)


def test_a_damaged_header_is_not_taken_for_the_end(make):
    archive = make.tar({"a.png": b"a" * 512, "b.png": b"b" * 512})
    content = bytearray(archive.read_bytes())
    content[1030] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, make.root / "out", wanted=wanted)


def test_damaged_content_of_a_zip_is_noticed(make):
    with zipfile.ZipFile(make.root / "x.zip", "w") as archive:
        archive.writestr("a.png", b"abcdefgh")
    content = (make.root / "x.zip").read_bytes()
    (make.root / "x.zip").write_bytes(content.replace(b"abcdefgh", b"abcdefgX"))
    with pytest.raises(UserError, match="damaged"):
        unpack(make.root / "x.zip", make.root / "out", wanted=wanted)


@pytest.mark.parametrize("limits", [{"max_members": 2}, {"max_bytes": 3500}])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_bombs_are_refused(make, kind, limits):
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(getattr(make, kind)(TREE), make.root / "out", wanted=wanted, **limits)


def test_a_member_that_occurs_twice_is_refused(make):
    archive = make.tar({"a.png": b"1"}, extra=(tarfile.TarInfo("a.png"),))
    with pytest.raises(UserError, match=r"a\.png twice"):
        unpack(archive, make.root / "out", wanted=wanted)


def test_an_archive_of_something_else_is_refused(make):
    with pytest.raises(UserError, match="holds no file of this dataset"):
        unpack(make.tar({"readme.txt": b""}), make.root / "out", wanted=wanted)


def test_archives_are_known_by_content_and_by_name(make):
    assert is_archive(make.tar(TREE))
    assert is_archive(make.zip(TREE))
    (make.root / "page.tar").write_bytes(b"<!DOCTYPE html>" + b" " * 600)
    assert not is_archive(make.root / "page.tar")
    assert is_archive_name("SegNet.TAR.GZ")
    assert not is_archive_name("camvid.tar.part")


def backslashed(tree):
    return {"Data\\" + name.replace("/", "\\"): content for name, content in tree.items()}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_with_backslashes_are_paths(make, kind):
    archive = getattr(make, kind)(backslashed(TREE))
    assert unpack(archive, make.root / "out", wanted=lambda name: name.startswith("Data/top/b/")) == 1
    assert unpacked(make.root / "out") == {"Data/top/b/c.png": TREE["top/b/c.png"]}


def test_folders_of_a_zip_with_backslashes_are_no_files(make):
    archive = make.zip({"top\\": b"", "top\\a.png": b"a"})
    assert list(member_names(archive)) == ["top/a.png"]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_verifying_reads_everything_and_names_it(make, kind):
    assert verify(getattr(make, kind)(TREE), wanted=wanted) == sorted(TREE)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.xz", "x.zip"])
def test_verifying_notices_damage_and_says_what_helps(make, name):
    archive = (make.zip if name.endswith("zip") else make.tar)(
        {"a.png": random.Random(0).randbytes(5000)}, name
    )
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged or incomplete.*Get it again from where it came from"):
        verify(archive, wanted=wanted)


def test_the_advice_against_a_stored_archive_works_under_dvc(make):
    archive = make.tar(TREE)
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(UserError, match="run `dvc repro -f -s download`"):
        unpack(archive, make.root / "out", wanted=wanted)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_full_disk_is_said_before_it_is_full(make, kind, monkeypatch):
    archive = getattr(make, kind)(TREE)
    usage = shutil.disk_usage(make.root)._replace(free=3500)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    sizes = TREE | {"top/a.png": b"a" * 4000}
    archive = getattr(make, kind)(sizes)
    with pytest.raises(UserError, match="Not enough disk space"):
        unpack(archive, make.root / "out", wanted=wanted)
    assert [path.name for path in make.root.iterdir()] == [archive.name]


@pytest.mark.parametrize("name", [b"k\xf6ln.png", b"a\xff\xfe.png"])
def test_names_that_are_no_text_are_refused(make, name):
    archive = make.tar({os.fsdecode(name): b"a"})
    with pytest.raises(UserError, match=r"no text in UTF-8"):
        unpack(archive, make.root / "out", wanted=wanted)


def test_a_zero_byte_in_a_name_is_refused(make):
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"path": "a\0b.png"}
    with pytest.raises(UserError, match=r"no text|damaged"):
        unpack(make.tar({}, extra=(info,)), make.root / "out", wanted=wanted)


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.png"},
        {"GNU.sparse.map": "1,x", "GNU.sparse.size": "7"},
        {"GNU.sparse.size": "no number", "GNU.sparse.map": "0,1"},
        {"size": "-1"},
        {"size": "many"},
        {"mtime": "never", "uid": "\u00e9"},
    ],
)
def test_headers_of_sparse_files_do_no_harm(make, headers):
    info = tarfile.TarInfo("a.png")
    info.pax_headers = headers
    archive = make.tar({"top/b.png": b"b" * 700}, extra=(info,))
    with suppress(UserError):
        unpack(archive, make.root / "out", wanted=wanted)
    assert not list(make.root.glob(".out*"))


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip"])
def test_whatever_an_archive_holds_the_error_is_one_for_people(make, name):
    rng = random.Random(name)
    info = tarfile.TarInfo("sparse.png")
    info.pax_headers = {"GNU.sparse.map": "0,5,10,5", "GNU.sparse.size": "20", "comment": "x"}
    whole = make.zip(TREE, name) if name == "x.zip" else make.tar(TREE, name, extra=(info,))
    content = whole.read_bytes()
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        whole.write_bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])])
        for read in (partial(verify, whole), partial(unpack, whole, make.root / "out")):
            with suppress(UserError):
                read(wanted=wanted)


@pytest.mark.parametrize(
    ("offsets", "value", "words"), [((6, 8), 1, "encrypted"), ((8, 10), 9, "not supported")]
)
def test_zips_that_only_another_program_reads_are_not_called_damaged(make, offsets, value, words):
    archive = make.zip(TREE)
    content = bytearray(archive.read_bytes())
    for magic, offset in zip((b"PK\x03\x04", b"PK\x01\x02"), offsets, strict=True):
        position = -1
        while (position := content.find(magic, position + 1)) >= 0:
            content[position + offset] = value
    archive.write_bytes(content)
    for read in (partial(verify, archive), partial(unpack, archive, make.root / "out")):
        with pytest.raises(UserError, match=rf"packed in a way that cannot be read here.*{words}.*unpack it"):
            read(wanted=wanted)


def test_the_space_for_all_of_a_plain_tar_is_looked_for_before_anything_is_written(make, monkeypatch):
    archive = make.tar({"a.png": b"a" * 3000, "b.png": b"b" * 3000, "c.txt": b"c" * 9000})
    usage = shutil.disk_usage(make.root)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr("icsd.datasets.archives._write_member", None)
    with pytest.raises(UserError, match="Not enough disk space"):
        unpack(archive, make.root / "out", wanted=wanted)


def test_names_in_utf_8_without_the_flag_are_read_as_such(make):
    """As macOS packs them."""
    archive = make.zip({"top/fuUr.png": b"a", "top/b.png": b"b"})
    archive.write_bytes(archive.read_bytes().replace(b"uU", "ü".encode()))
    unpack(archive, make.root / "out", wanted=wanted)
    assert unpacked(make.root / "out") == {"top/für.png": b"a", "top/b.png": b"b"}


def test_names_of_dos_stay_what_they_are(make):
    archive = make.zip({"top/fu.png": b"a"})
    archive.write_bytes(archive.read_bytes().replace(b"fu.", b"f\x81."))
    assert list(member_names(archive)) == ["top/fü.png"]


def test_what_is_refused_is_told_what_to_do(make):
    archive = make.tar({"../a.png": b"a"})
    with pytest.raises(UserError, match=r"outside the folder: refused.*give the folder in data\.source"):
        unpack(archive, make.root / "out", wanted=wanted)
    hard = make.tar(TREE, "h.tar", extra=(link("top/z.png", "top/a.png", tarfile.LNKTYPE),))
    with pytest.raises(UserError, match=r"z\.png is a link.*--hard-dereference"):
        unpack(hard, make.root / "out", wanted=wanted)
