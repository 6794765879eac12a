import multiprocessing
import os
import signal

import pytest
import torch

from icsd.training.logits_file import LogitsReader, LogitsWriter, can_hold, claim, file_bytes
from icsd.training.spent import Spent

SHAPE = (2, 3, 4, 5)


def images(number):
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(number))


def logits(number, dtype=torch.float32, layout=torch.contiguous_format):
    values = torch.randn(SHAPE, generator=torch.Generator().manual_seed(100 + number))
    return values.to(dtype).contiguous(memory_format=layout)


def read_all(path):
    reader = LogitsReader(path, 2)
    try:
        return [reader.read(images(number)) for number in range(2)]
    finally:
        reader.close()


def written(path, batches=2, **kind):
    writer = claim(path, batches)
    for number in range(batches):
        writer.write(images(number), logits(number, **kind))
    writer.publish(Spent(1.5, 2.5))
    return path


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_logits_come_back_bit_for_bit_and_in_their_layout(tmp_path, dtype, layout):
    path = written(tmp_path / "epoch", dtype=dtype, layout=layout)
    assert path.stat().st_size == file_bytes(logits(0, dtype), 2)
    reader = LogitsReader(path, 2)
    assert reader.taught == Spent(1.5, 2.5)
    for number in range(2):
        wanted, found = logits(number, dtype, layout), reader.read(images(number))
        assert can_hold(wanted)
        assert torch.equal(found, wanted)
        assert (found.dtype, found.stride()) == (wanted.dtype, wanted.stride())
    reader.close()


def test_what_would_not_come_back_as_it_is_cannot_be_held():
    assert not can_hold(logits(0).double())
    assert not can_hold(logits(0).transpose(2, 3))


def test_logits_are_not_given_for_other_images(tmp_path):
    reader = LogitsReader(written(tmp_path / "epoch"), 2)
    with pytest.raises(ValueError, match="other images"):
        reader.read(images(1))
    reader.close()
    moved = images(0).clone()
    moved[0, 0] = moved[0, 0].roll(1, -1)  # a view that is one pixel off
    reader = LogitsReader(tmp_path / "epoch", 2)
    with pytest.raises(ValueError, match="other images"):
        reader.read(moved)
    reader.close()


@pytest.mark.parametrize("place", [3, 30, 100, 520, 600, -1])
def test_a_byte_that_has_changed_is_found(tmp_path, place):
    path = written(tmp_path / "epoch")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read_all(path)


@pytest.mark.parametrize("keep", [0, 100, 512, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path, keep):
    path = written(tmp_path / "epoch")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"damaged|cut off"):
        LogitsReader(path, 2)


def test_the_file_of_an_epoch_of_another_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not of this epoch"):
        LogitsReader(written(tmp_path / "epoch"), 3)


def test_batches_of_two_shapes_are_a_mistake(tmp_path):
    writer = LogitsWriter(tmp_path / "epoch", 2)
    writer.write(images(0), logits(0))
    with pytest.raises(ValueError, match="after"):
        writer.write(images(1), logits(1)[:1])
    writer.abandon()


def test_a_file_that_is_given_up_leaves_nothing(tmp_path):
    writer = claim(tmp_path / "epoch", 2)
    writer.write(images(0), logits(0))
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def write_half(path, started):
    writer = claim(path, 2)
    writer.write(images(0), logits(0))
    started.set()
    signal.pause()


def test_one_process_writes_an_epoch_and_one_that_was_killed_holds_nobody_up(tmp_path, one_thread):
    path = tmp_path / "epoch"
    context = multiprocessing.get_context("fork")
    started = context.Event()
    other = context.Process(target=write_half, args=(path, started))
    other.start()
    assert started.wait(30)
    assert claim(path, 2) is None
    assert not path.exists()
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    written(path)
    assert [file.name for file in tmp_path.iterdir()] == ["epoch"]
