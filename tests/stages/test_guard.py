"""Only one process at a time makes an output, and only if it can be written."""

import threading
from pathlib import Path

import pytest

from icsd.errors import UserError
from icsd.files import folder_written_whole
from icsd.stages import guard
from icsd.stages.guard import guarded

OUTPUT = Path("results/shapes/kd")


def make(root):
    with folder_written_whole(root / OUTPUT) as folder:
        (folder / "a").write_text("a")


def test_a_second_process_waits_until_the_output_is_there(tmp_path, capsys):
    seen = []

    def second():
        with guarded(tmp_path, OUTPUT):
            seen.append((tmp_path / OUTPUT / "a").exists())

    with guarded(tmp_path, OUTPUT):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert seen == []
        make(tmp_path)
    thread.join(10)
    assert seen == [True]
    assert capsys.readouterr().out == "another process writes results/shapes/kd; waiting for it\n"
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["results"]


def test_other_outputs_and_other_checkouts_do_not_wait(tmp_path, capsys):
    with guarded(tmp_path / "one", OUTPUT), guarded(tmp_path / "two", OUTPUT):
        for name in ("one", "two"):
            make(tmp_path / name)
        with guarded(tmp_path / "one", Path("results/shapes")):
            pass
    assert capsys.readouterr().out == ""


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    def refuse(output):
        raise UserError(f"{output.name} cannot be written")

    monkeypatch.setattr(guard, "check_writable", refuse)
    with pytest.raises(UserError, match="kd cannot be written"), guarded(tmp_path, OUTPUT):
        pytest.fail("the work began")


def test_an_output_that_is_gone_is_no_success(tmp_path):
    removed = pytest.raises(UserError, match="results/shapes/kd: was removed by another process")
    with removed, guarded(tmp_path, OUTPUT):
        pass
