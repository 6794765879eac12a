import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from icsd.errors import UserError
from icsd.files import (
    check_disk_space,
    check_writable,
    copy_file,
    exclusive,
    files_below,
    folder_written_whole,
    replace_folder,
    sha256_of,
    write_bytes,
    write_json,
)


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    with folder_written_whole(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def write_two_files(folder):
    with folder_written_whole(folder / "out") as unfinished:
        copy_file(folder / "out/a", unfinished / "a")
        copy_file(folder / "nowhere", unfinished / "b")


def test_a_failure_between_two_files_leaves_what_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("old")
    with pytest.raises(FileNotFoundError):
        write_two_files(tmp_path)
    assert (tmp_path / "out/a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_complete_folder_takes_the_place_of_an_older_one(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/stale").write_text("old")
    with folder_written_whole(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def run_killed(code, path):
    """Run Python code that writes to a path and kills its process while writing."""
    command = [sys.executable, "-c", f"import os, sys, pathlib\n{code}", str(path)]
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL


def test_what_a_killed_process_left_does_not_stay(tmp_path):
    run_killed(
        "from icsd.files import folder_written_whole\n"
        "with folder_written_whole(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), 9)",
        tmp_path / "out",
    )
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.")
    assert left.name.endswith(".unfinished")
    with folder_written_whole(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "a"]


def test_a_file_that_a_killed_process_was_writing_does_not_stay(tmp_path):
    run_killed(
        "from icsd import files\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "files.write_bytes(pathlib.Path(sys.argv[1]), b'half')",
        tmp_path / "a",
    )
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.")
    write_bytes(tmp_path / "b", b"")
    assert left.exists()  # of another file
    write_bytes(tmp_path / "a", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_that_another_process_is_writing_stays(tmp_path, monkeypatch):
    path, sync, seen = tmp_path / "a", os.fsync, []

    def sync_and_write_again(descriptor):
        sync(descriptor)
        monkeypatch.setattr(os, "fsync", sync)
        write_bytes(path, b"other")
        seen.append(path.read_bytes())

    monkeypatch.setattr(os, "fsync", sync_and_write_again)
    write_bytes(path, b"one")
    assert (seen, path.read_bytes()) == ([b"other"], b"one")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_and_never_opened(tmp_path):
    """It may be a hard link to an object of DVC's cache, and read-only."""
    (tmp_path / "cache").write_bytes(b"old")
    (tmp_path / "out").hardlink_to(tmp_path / "cache")
    (tmp_path / "out").chmod(0o444)
    write_bytes(tmp_path / "out", b"new")
    assert (tmp_path / "cache").read_bytes() == b"old"
    copy_file(tmp_path / "out", tmp_path / "cache")
    assert (tmp_path / "cache").read_bytes() == b"new"


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_moved_aside_goes_with_the_next_folder(tmp_path):
    for name in ("out", ".out.12345678.old", ".outer.12345678.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("old")
    with folder_written_whole(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".outer.12345678.old", "out"]


@pytest.mark.parametrize("output", ["here/out", "here/deeper/out"])
def test_an_output_that_cannot_be_written_is_found_beforehand(tmp_path, monkeypatch, output):
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    check_writable(tmp_path / output)
    assert [path.name for path in here.rglob("*")] == ["out"]

    def refuse(**options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # root is refused nothing
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\), so out would be lost"):
        check_writable(tmp_path / output)


def test_an_output_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match=r"runs: cannot be written \(Not a directory"):
        check_writable(tmp_path / "runs/a")


def test_a_copy_is_independent_of_the_original(tmp_path):
    (tmp_path / "a").write_bytes(b"1" * 100_000)
    copy_file(tmp_path / "a", tmp_path / "b")
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")
    assert (tmp_path / "a").stat().st_ino != (tmp_path / "b").stat().st_ino


def test_too_little_disk_space_is_said_beforehand(tmp_path):
    with pytest.raises(UserError, match=r"1000000\.0 GB are needed"):
        check_disk_space(tmp_path, 10**15)


def test_json_is_the_same_bytes_whatever_the_order(tmp_path):
    write_json(tmp_path / "a", {"x": 1, "b": [2]})
    write_json(tmp_path / "b", {"b": [2], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text()) == {"x": 1, "b": [2]}


def test_an_older_folder_is_there_until_the_new_one_is(tmp_path, monkeypatch):
    for name in ("new", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    seen = []
    rename = Path.rename

    def watched(source, target):
        seen.append({path.name for path in tmp_path.iterdir()})
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", watched)
    replace_folder(tmp_path / "new", tmp_path / "out")
    first, second = seen
    assert first == {"new", "out"}
    (old,) = second - {"new"}
    assert old.startswith(".out.")
    assert old.endswith(".old")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/a").read_text() == "new"


def test_equal_values_are_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "deeper/b.json", {"a": "é", "b": 1})
    assert sha256_of(tmp_path / "a.json") == sha256_of(tmp_path / "deeper/b.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_process_is_writing_stays(tmp_path):
    with folder_written_whole(tmp_path / "out") as one:
        (one / "one").write_text("1")
        with folder_written_whole(tmp_path / "out") as other:
            (other / "other").write_text("2")
        assert (tmp_path / "out/other").is_file()
        assert (one / "one").is_file()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "one"]


def disks(monkeypatch, *, free=None):
    """The folders ``here`` and ``there``, which are on different disks as far as ``rename`` can tell."""
    rename = Path.rename

    def across(source, target):
        if ("here" in source.parts) != ("here" in Path(target).parts):
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(source))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", across)
    if free is not None:
        usage = shutil.disk_usage("/")._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


def test_a_folder_moves_to_another_disk(tmp_path, monkeypatch):
    (tmp_path / "here/new/deeper").mkdir(parents=True)
    (tmp_path / "here/new/deeper/a").write_text("new")
    (tmp_path / "there/out").mkdir(parents=True)
    (tmp_path / "there/out/a").write_text("old")
    disks(monkeypatch)
    replace_folder(tmp_path / "here/new", tmp_path / "there/out")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["there/out/deeper/a"]
    assert list((tmp_path / "here").iterdir()) == []
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["out"]


def test_a_disk_that_is_too_small_keeps_both_folders(tmp_path, monkeypatch):
    (tmp_path / "here/new").mkdir(parents=True)
    (tmp_path / "here/new/a").write_text("new")
    (tmp_path / "there/out").mkdir(parents=True)
    (tmp_path / "there/out/a").write_text("old")
    disks(monkeypatch, free=2)
    with pytest.raises(UserError, match="Not enough disk space"):
        replace_folder(tmp_path / "here/new", tmp_path / "there/out")
    assert (tmp_path / "here/new/a").read_text() == "new"
    assert (tmp_path / "there/out/a").read_text() == "old"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["out"]


def test_a_link_to_another_disk_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/kept").write_text("kept")
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with folder_written_whole(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out"]
    assert (tmp_path / "out/a").read_text() == "new"
    assert (tmp_path / "elsewhere/kept").is_file()


def test_a_second_process_waits_for_the_lock_and_says_so(tmp_path, capsys):
    entered = threading.Event()

    def second():
        with exclusive(tmp_path / "locks/a.lock", waiting="another process writes a"):
            entered.set()

    with exclusive(tmp_path / "locks/a.lock", waiting=""):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.3)
    thread.join(10)
    assert entered.is_set()
    assert capsys.readouterr().out == "another process writes a; waiting for it\n"


def test_files_below_follow_links_once_and_leave_out_folders(tmp_path):
    (tmp_path / "a/deep").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for name in ("top", "a/deep/one", ".hidden/two"):
        (tmp_path / name).touch()
    (tmp_path / "a/circle").symlink_to(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)} == {
        *("top", "a/deep/one", ".hidden/two")
    }
    shown = files_below(tmp_path, enter=lambda name: not name.startswith("."))
    assert {path.name for path in shown} == {"top", "one"}


def test_files_below_tell_of_a_folder_that_cannot_be_listed(tmp_path):
    told: list[OSError] = []
    assert not list(files_below(tmp_path / "missing"))
    assert not list(files_below(tmp_path / "missing", on_error=told.append))
    assert [error.filename for error in told] == [str(tmp_path / "missing")]
