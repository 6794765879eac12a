import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from icsd.training.checkpoint import former, remove_states, resume, save_state

STATE: dict[str, Any] = {
    "weights": {"a": torch.arange(3.0)},
    "progress": {"epoch": 2, "history": [{"loss/ce": 0.1}]},
}


@pytest.fixture
def path(tmp_path):
    """The path of checkpoints, in a folder that does not exist yet."""
    return tmp_path / "run/checkpoint.pt"


def epoch_of(state):
    return state["progress"]["epoch"]


def save(path, *epochs):
    for epoch in epochs:
        save_state(STATE | {"progress": {"epoch": epoch}}, path)


def test_a_state_comes_back_as_it_was(path):
    save_state(STATE, path)
    loaded, problems = resume(path, lambda state: state)
    assert problems == []
    assert loaded is not None
    assert torch.equal(loaded["weights"]["a"], STATE["weights"]["a"])
    assert loaded["progress"] == STATE["progress"]
    assert list(path.parent.iterdir()) == [path]


def test_no_state_is_none(path):
    assert resume(path, epoch_of) == (None, [])


def test_the_last_two_are_kept_and_the_newest_is_used(path):
    save(path, 1, 2, 3)
    assert resume(path, epoch_of) == (3, [])
    path.unlink()
    assert resume(path, epoch_of) == (2, [])
    assert list(path.parent.iterdir()) == [former(path)]
    remove_states(path)
    assert list(path.parent.iterdir()) == []


def test_no_bit_of_a_state_can_change_without_being_found(path):
    """One random bit of every byte, of the head, of the archive's directory, of the data, of the padding."""
    save_state(STATE, path)
    content, rng = path.read_bytes(), random.Random(0)
    used: list[object] = []
    for index in range(len(content)):
        damaged = bytearray(content)
        damaged[index] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        result, (problem,) = resume(path, used.append)
        assert result is None
        assert "damaged" in problem
        assert not path.exists()
    assert used == []


def cut(content):
    return content[: len(content) // 2]


def zeroed(content):
    return content[:500] + bytes(64) + content[564:]


def longer(content):
    return content + b"\0"


def plain(content):
    """A checkpoint of an older version, without layout and digest."""
    return content[content.index(b"PK") :]


@pytest.mark.parametrize(
    "damage",
    [cut, zeroed, longer, plain, lambda _: b"", lambda _: b"no state"],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_state_gives_way_to_the_one_before(path, damage):
    save(path, 1, 2)
    path.write_bytes(damage(path.read_bytes()))
    epoch, problems = resume(path, epoch_of)
    assert epoch == 1
    assert [problem.split()[0] for problem in problems] == ["checkpoint.pt"]
    save(path, 2)  # the damaged one has gone: it does not become the former one
    path.write_bytes(b"")
    assert resume(path, epoch_of)[0] == 1


def test_where_both_are_damaged_there_is_none(path):
    save(path, 1, 2)
    for file in (path, former(path)):
        file.write_bytes(cut(file.read_bytes()))
    epoch, problems = resume(path, epoch_of)
    assert epoch is None
    assert [problem.split()[0] for problem in problems] == ["checkpoint.pt", "checkpoint-former.pt"]


def test_a_state_that_is_refused_gives_way_to_the_one_before(path):
    save(path, 1, 2)

    def refuse(state):
        if epoch_of(state) == 2:
            raise ValueError("belongs to another run")
        return epoch_of(state)

    assert resume(path, refuse) == (1, ["checkpoint.pt belongs to another run"])


@pytest.mark.parametrize("content", [{"a": os.system}, [1, 2]], ids=["code", "a list"])
def test_what_is_no_state_is_not_used_and_no_code_is_run(path, content):
    save_state(content, path)
    result, (problem,) = resume(path, epoch_of)
    assert result is None
    assert "is no state" in problem


def test_a_block_that_the_disk_cannot_read_is_damage_and_a_missing_permission_is_not(path, monkeypatch):
    save(path, 1, 2)
    read = Path.read_bytes

    def failing(number):
        def read_bytes(file):
            if file == path:
                raise OSError(number, os.strerror(number), str(file))
            return read(file)

        return read_bytes

    monkeypatch.setattr(Path, "read_bytes", failing(errno.EACCES))
    with pytest.raises(PermissionError):
        resume(path, epoch_of)
    assert path.exists()
    monkeypatch.setattr(Path, "read_bytes", failing(errno.EIO))
    assert resume(path, epoch_of) == (1, ["checkpoint.pt cannot be read from the disk"])


def test_a_full_disk_keeps_both_states_and_leaves_nothing_else(path, monkeypatch):
    save(path, 1, 2)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save(path, 3)
    assert caught.value.filename == str(path)
    assert sorted(path.parent.iterdir()) == sorted([path, former(path)])
    assert resume(path, epoch_of) == (2, [])
