import random
import stat
import tarfile
import zipfile

import pytest

from icsd.datasets.archives import is_archive, is_archive_name, pack, unpack
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


def test_packing_depends_on_names_and_contents_alone(make):
    one, other = make.folder(TREE, "one"), make.folder(dict(reversed(TREE.items())), "other")
    (other / "top/a.png").chmod(0o600)
    for folder in (one, other):
        pack(folder, make.root / f"{folder.name}.tar", wanted=wanted)
    assert (make.root / "one.tar").read_bytes() == (make.root / "other.tar").read_bytes()
    assert unpack(make.root / "one.tar", make.root / "out", wanted=wanted) == 2


def test_packing_follows_linked_folders_once(make):
    folder = make.folder({"real/a.png": b"a"})
    outside = make.folder({"b.png": b"b"}, "outside")
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    pack(folder, make.root / "x.tar", wanted=wanted)
    with tarfile.open(make.root / "x.tar") as archive:
        assert archive.getnames() == ["linked/b.png", "real/a.png"]


def test_packing_a_folder_without_wanted_files_is_an_error(make):
    with pytest.raises(UserError, match="holds no file of this dataset"):
        pack(make.folder({"readme.txt": b""}), make.root / "x.tar", wanted=wanted)


def test_archives_are_known_by_content_and_by_name(make):
    assert is_archive(make.tar(TREE))
    assert is_archive(make.zip(TREE))
    (make.root / "page.tar").write_bytes(b"<!DOCTYPE html>" + b" " * 600)
    assert not is_archive(make.root / "page.tar")
    assert is_archive_name("SegNet.TAR.GZ")
    assert not is_archive_name("camvid.tar.part")
