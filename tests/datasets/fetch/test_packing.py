import os
import tarfile

import pytest

from icsd.datasets.archives import unpack
from icsd.datasets.fetch.packing import pack
from icsd.errors import UserError

TREE = {"top/a.png": b"a" * 3000, "top/b/c.png": b"c" * 700, "top/readme.txt": b"no"}


def wanted(member: str) -> bool:
    return member.endswith(".png")


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


def test_names_that_windows_put_into_one_folder_become_paths(make):
    pack(make.folder({"top\\b\\a.png": b"a"}), make.root / "x.tar", wanted=wanted)
    with tarfile.open(make.root / "x.tar") as archive:
        assert archive.getnames() == ["top/b/a.png"]


def test_what_cannot_be_packed_is_named_and_nothing_stays(make):
    folder = make.folder(TREE)
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / os.fsdecode(b"k\xf6ln.png")).write_bytes(b"")
    with pytest.raises(UserError, match=r"no plain files.*'gone\.png', 'k\\udcf6ln\.png', 'pipe\.png'"):
        pack(folder, make.root / "x.tar", wanted=wanted)
    assert [path.name for path in make.root.iterdir()] == ["tree"]
