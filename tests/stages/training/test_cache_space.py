import os
import time

import pytest
from tests.vanishing import vanishing

from icsd.stages.training.cache_space import FORGOTTEN, IN_USE, SPARED, Space, size_of


@pytest.fixture
def root(tmp_path):
    return tmp_path / ".state/teacher_logits"


def kept(root, name, *, num_bytes=100, unused=0.0):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "epoch-00001.logits").write_bytes(bytes(num_bytes))
    then = time.time() - unused
    os.utime(folder, (then, then))
    return folder


def space(root, *, most=1000, processes=1, asked_for=()):
    said: list[str] = []
    made = Space(
        root / "own",
        most=most,
        processes=processes,
        epochs=30,
        asked_for=asked_for,
        say=said.append,
    )
    return made, said


def test_the_size_of_all_is_said_once_before_anything_is_written(root):
    made, said = space(root, most=10**10)
    assert made.refuse(2_000_000) is None
    assert made.refuse(2_000_000) is None
    assert len(said) == 1
    assert "2.0 MB an epoch, 60.0 MB in all, in .state/teacher_logits (at most 10.0 GB" in said[0]


def test_what_passes_the_cap_is_refused(root):
    made, said = space(root)
    assert made.refuse(1000) is None
    kept(root, "other", num_bytes=600)
    assert made.refuse(400) is None
    assert "runtime.teacher_cache_gb allows" in made.refuse(401)
    assert len(said) == 1
    assert "allows" in space(root, processes=2)[0].refuse(201)  # every process writes a file


def test_what_the_grid_does_not_ask_for_makes_room_the_oldest_first(root):
    wanted = kept(root, "wanted", num_bytes=300, unused=5 * IN_USE)
    oldest = kept(root, "oldest", num_bytes=300, unused=4 * IN_USE)
    older = kept(root, "older", num_bytes=300, unused=3 * IN_USE)
    made, _ = space(root, asked_for={"wanted"})
    assert made.refuse(400) is None
    assert (wanted.exists(), oldest.exists(), older.exists()) == (True, False, True)


def test_what_another_run_may_be_using_stays(root):
    used = kept(root, "used", num_bytes=900, unused=IN_USE / 2)
    assert space(root)[0].refuse(200) is not None
    assert used.exists()


def test_what_was_not_used_for_days_goes_unless_the_grid_asks_for_it(root):
    forgotten = kept(root, "forgotten", unused=FORGOTTEN + 60)
    wanted = kept(root, "wanted", unused=FORGOTTEN + 60)
    assert space(root, asked_for={"wanted"})[0].refuse(1) is None
    assert (forgotten.exists(), wanted.exists()) == (False, True)


def test_the_disk_keeps_room_for_what_matters_more(root, monkeypatch):
    class Usage:
        free = SPARED + 99

    monkeypatch.setattr("icsd.files.shutil.disk_usage", lambda _: Usage)
    assert "the disk has less than" in space(root)[0].refuse(100)
    assert space(root)[0].refuse(99) is None


def test_size_is_that_of_all_files_below(root):
    kept(root, "a", num_bytes=5)
    kept(root, "b/c", num_bytes=7)
    assert size_of(root) == 12


def test_a_cache_that_vanishes_while_it_is_measured_takes_no_space(root, monkeypatch):
    kept(root, "a", num_bytes=5)
    kept(root, "b", num_bytes=7)
    monkeypatch.setattr(os, "scandir", vanishing("b"))
    assert size_of(root) == 5
