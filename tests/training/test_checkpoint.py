import multiprocessing
import os
import time
from typing import Any

import pytest
import torch

from icsd.errors import UserError
from icsd.training.checkpoint import exclusive, load_state, save_state


def test_a_state_comes_back_as_it_was(tmp_path):
    state: dict[str, Any] = {
        "weights": {"a": torch.arange(3.0)},
        "progress": {"epoch": 2, "history": [{"loss/ce": 0.1}]},
    }
    save_state(state, tmp_path / "checkpoint.pt")
    loaded = load_state(tmp_path / "checkpoint.pt")
    assert loaded is not None
    assert torch.equal(loaded["weights"]["a"], state["weights"]["a"])
    assert loaded["progress"] == state["progress"]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_no_state_is_none(tmp_path):
    assert load_state(tmp_path / "checkpoint.pt") is None


def test_a_damaged_state_names_the_file_to_delete(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_state({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="delete this file") as caught:
        load_state(path)
    assert str(path) in str(caught.value)


def test_a_state_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"a": os.system}, path)
    with pytest.raises(UserError, match="damaged"):
        load_state(path)


def hold(folder, held, release):
    with exclusive(folder):
        held.set()
        release.wait(30)


def test_a_second_process_waits_for_the_first(tmp_path, capfd):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=hold, args=(tmp_path, held, release))
    second_held = context.Event()
    second = context.Process(target=hold, args=(tmp_path, second_held, release))
    first.start()
    assert held.wait(60)
    second.start()
    deadline = time.monotonic() + 60
    while (
        "another process is training this run" not in capfd.readouterr().out and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert time.monotonic() < deadline
    assert not second_held.is_set()
    release.set()
    first.join(30)
    assert second_held.wait(30)
    second.join(30)
    assert (first.exitcode, second.exitcode) == (0, 0)
