import errno
import multiprocessing
import time

import pytest
import torch

from icsd.training import teacher_logits
from icsd.training.logits_file import LogitsReader, LogitsWriter
from icsd.training.teacher_logits import TeacherLogits, unfaithful

STEPS = 3


def views(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(STEPS):
        yield torch.randn(2, 3, 8, 8, generator=generator), torch.zeros(2, 8, 8, dtype=torch.int64)


class Taught:
    """A teacher that counts its batches, with the messages of its cache."""

    def __init__(self, folder, *, factor=1.0, offset=0.0, **options):
        self.ran = 0
        self.factor, self.offset = factor, offset
        self.said: list[str] = []
        self.logits = TeacherLogits(
            folder,
            views,
            steps=STEPS,
            teach=self.teach,
            device=torch.device("cpu"),
            say=self.said.append,
            **options,
        )

    def teach(self, images):
        self.ran += 1
        return live_of(images, self.factor, self.offset).contiguous()

    def epoch(self, epoch=0):
        """The logits of an epoch, after checking its images."""
        self.ran = 0
        given = list(self.logits.epoch(epoch))
        assert len(given) == STEPS
        assert all(torch.equal(a, b) for (a, _, _), (b, _) in zip(given, views(epoch), strict=True))
        return [logits for _, _, logits in given]


def live_of(images, factor=1.0, offset=0.0):
    return offset + factor * images[:, :, ::2, ::2]


def live(*changes, epoch=0):
    return [live_of(images, *changes) for images, _ in views(epoch)]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_first_run_computes_and_the_next_one_reads(tmp_path):
    first, second = Taught(tmp_path), Taught(tmp_path)
    assert equal(first.epoch(), live())
    assert first.ran == STEPS
    assert equal(second.epoch(), live())
    assert second.ran == 1  # the first batch of a process is compared
    first.epoch(1)
    assert equal(second.epoch(1), live(epoch=1))
    assert second.ran == 0
    assert second.logits.savings().epochs == 2
    assert second.logits.savings().epochs == 0
    assert first.logits.savings().epochs == 0
    assert first.said == second.said == []


def test_an_epoch_that_was_left_in_the_middle_has_no_file(tmp_path):
    taught = Taught(tmp_path)
    epoch = taught.logits.epoch(0)
    next(epoch)
    next(epoch)
    epoch.close()  # as when training ends with an error
    assert list(tmp_path.iterdir()) == []
    assert equal(taught.epoch(), live())
    assert taught.logits.file(0).exists()


def test_only_who_may_fill_writes_and_everybody_reads(tmp_path):
    reading = Taught(tmp_path, fills=False)
    assert equal(reading.epoch(), live())
    assert list(tmp_path.iterdir()) == []
    Taught(tmp_path).epoch()
    reading.epoch()
    assert reading.ran == 1


@pytest.mark.parametrize("place", [40, 600, -1], ids=["head", "first batch", "last batch"])
def test_a_damaged_file_is_replaced_and_changes_nothing(tmp_path, place):
    Taught(tmp_path).epoch()
    taught = Taught(tmp_path)
    path = taught.logits.file(0)
    whole, content = path.read_bytes(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert equal(taught.epoch(), live())
    assert len(taught.said) == 1
    assert "damaged" in taught.said[0]
    if place == 40:
        assert taught.ran == STEPS  # found before the epoch, which is written again at once
    else:
        assert not path.exists()
        taught.epoch()
    assert path.read_bytes()[512:] == whole[512:]


def work(folder, wrong):
    taught = Taught(folder)
    for _ in range(3):
        for epoch in range(4):
            if not equal(taught.epoch(epoch), live(epoch=epoch)):
                wrong.set()
    if any("damaged" in line for line in taught.said):
        wrong.set()


def test_processes_that_share_a_folder_never_see_half_a_file(tmp_path, one_thread):
    context = multiprocessing.get_context("fork")
    wrong = context.Event()
    others = [context.Process(target=work, args=(tmp_path, wrong)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
        assert other.exitcode == 0
    assert not wrong.is_set()
    assert len(list(tmp_path.iterdir())) == 4
    reading = Taught(tmp_path)
    reading.epoch(3)
    assert reading.ran == 1


def test_logits_of_another_teacher_are_not_used(tmp_path):
    Taught(tmp_path).epoch()
    other = Taught(tmp_path, factor=1.0 + 1e-6)
    assert equal(other.epoch(), live(1.0 + 1e-6))
    assert other.ran == STEPS + 1
    assert "not what the teacher says here" in other.said[0]
    other.epoch(1)
    assert not other.logits.file(1).exists()


def test_without_room_the_teacher_runs_and_what_there_is_is_read(tmp_path):
    Taught(tmp_path).epoch(1)
    asked = []

    def room(num_bytes):
        asked.append(num_bytes)
        return "it is full"

    taught = Taught(tmp_path, room=room)
    assert equal(taught.epoch(0), live())
    taught.epoch(1)
    assert taught.ran == 1
    taught.epoch(2)
    assert [file.name for file in tmp_path.iterdir()] == ["epoch-00002.logits"]
    assert asked == [tmp_path.joinpath("epoch-00002.logits").stat().st_size]
    assert taught.said == ["note: the teacher's logits are not kept from epoch 1 on: it is full"]


@pytest.mark.parametrize("step", ["claim", "write", "publish"])
def test_a_full_disk_stops_the_files_and_not_the_training(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(teacher_logits, "claim", full) if step == "claim" else monkeypatch.setattr(
        LogitsWriter, step, full
    )
    taught = Taught(tmp_path)
    assert equal(taught.epoch(), live())
    assert equal(taught.epoch(1), live(epoch=1))
    assert taught.said == ["warning: the teacher's logits are not kept any more: No space left on device"]


def test_a_disk_that_is_slower_than_the_teacher_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_logits, "NOTICED", -1.0)
    Taught(tmp_path).epoch()  # quick to compute
    reader = Taught(tmp_path)
    monkeypatch.setattr(LogitsReader, "read", slow(LogitsReader.read))
    reader.epoch()
    assert "reading the teacher's logits of epoch 1 took" in reader.said[0]
    assert equal(reader.epoch(), live())
    assert reader.ran == STEPS


def slow(call):
    def slower(*arguments):
        time.sleep(0.02)
        return call(*arguments)

    return slower


def test_rounded_logits_are_the_same_from_a_file_and_without(tmp_path):
    without = Taught(tmp_path, rounded=True, fills=False)
    wanted = without.epoch()
    assert wanted[0].dtype == torch.float16
    assert not equal([each.float() for each in wanted], live())
    assert equal(Taught(tmp_path, rounded=True).epoch(), wanted)
    reading = Taught(tmp_path, rounded=True)
    assert equal(reading.epoch(), wanted)
    assert reading.ran == 1
    reading.logits.round_or_refuse()
    assert reading.said == []


@pytest.mark.parametrize(("factor", "offset"), [(1e5, 0.0), (1.0, 1e3)], ids=["too large", "too coarse"])
def test_a_teacher_that_says_something_else_when_rounded_is_not(tmp_path, factor, offset):
    taught = Taught(tmp_path, factor=factor, offset=offset, rounded=True)
    taught.logits.round_or_refuse()
    assert "are not rounded to float16" in taught.said[0]
    assert equal(taught.epoch(), live(factor, offset))
    assert list(tmp_path.iterdir()) == []


def test_fidelity_is_divergence_and_agreement():
    logits = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    assert unfaithful(logits.half(), logits) is None
    assert "not finite" in unfaithful(logits * torch.inf, logits)
    assert "KL" in unfaithful(1.3 * logits, logits)  # the same classes
    near = logits.clone()
    near[:, 0] = logits[:, 1:].amax(1) - 1e-4
    assert "same class at" in unfaithful(near + torch.tensor([2e-4, 0, 0, 0, 0])[:, None, None], near)


def test_what_files_save_and_cost_is_accounted_for(tmp_path, monkeypatch):
    times = iter(range(10_000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(times)))
    monkeypatch.setattr(teacher_logits, "NOTICED", 1e9)
    writing = Taught(tmp_path)
    writing.epoch()  # one second for each batch of the teacher, one for each that is written, one to publish
    assert writing.logits.savings().time.seconds == -(STEPS + 1)


def test_what_reading_saves_of_processor_time_is_the_teachers_less_its_own(tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(time, "process_time", lambda: float(next(clock)))
    writing, reading = Taught(tmp_path), Taught(tmp_path)
    writing.epoch()  # as above, ten seconds each
    assert writing.logits.savings().time.processor == -10 * (STEPS + 1)
    reading.epoch()  # each batch: ten seconds of the teacher, less two readings of the clock after the first
    assert reading.logits.savings().time.processor == STEPS * (10 - 20)
