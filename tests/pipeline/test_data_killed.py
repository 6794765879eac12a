"""Preprocess, killed for real while it writes, and run again; or run twice at once."""

import signal
import subprocess
import sys
import time

import pytest
from tests.project import environment, make_project, outputs, stage

from icsd.data.prepared import PreparedData

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "pipeline", "preprocess"]


@pytest.fixture
def project(tmp_path):
    """A project whose data take some seconds to prepare."""
    folder = make_project(tmp_path / "project")
    preset = folder / "configs/datasets/shapes.yaml"
    text = preset.read_text(encoding="utf-8")
    preset.write_text(text.replace("train: 12", "train: 900"), encoding="utf-8")
    stage(folder, "download")
    return folder


def started(project, output):
    """The stage, stopped while it writes shards; ``output`` is a file for what it prints."""
    with output.open("w") as stream:
        process = subprocess.Popen(COMMAND, cwd=project, env=environment(project), stdout=stream)
    wait_for(lambda: list((project / "data/shapes").glob(".processed.*.unfinished/content/train-*")), process)
    process.send_signal(signal.SIGSTOP)
    return process


def wait_for(condition, process):
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_rerun_after_a_kill_ends_with_all_data(project, number, tmp_path):
    process = started(project, tmp_path / "out.txt")
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    assert process.wait() != 0
    assert not (project / "data/shapes/processed").exists()
    stage(project, "preprocess")
    data = PreparedData(project / "data/shapes/processed")
    assert [data.split(name).name for name in data.splits] == ["report", "train", "validation"]
    assert not list((project / "data/shapes").glob(".*"))


def test_a_process_that_was_left_working_and_the_next_one_end_with_the_same_data(project, tmp_path):
    first = started(project, tmp_path / "out.txt")
    with (tmp_path / "second.txt").open("w") as stream:
        second = subprocess.Popen(COMMAND, cwd=project, env=environment(project), stdout=stream)
    wait_for(lambda: "waiting for it" in (tmp_path / "second.txt").read_text(), second)
    first.send_signal(signal.SIGCONT)
    assert (first.wait(), second.wait()) == (0, 0)
    both = outputs(project / "data/shapes/processed")
    assert both["manifest.json"]
    stage(project, "preprocess")
    assert outputs(project / "data/shapes/processed") == both
