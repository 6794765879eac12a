"""Several processes train one network."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file
from tests.project import change, environment, make_project, outputs, stage

pytestmark = pytest.mark.slow
STUDENT = ("train-student", "--method", "aicsd", "--student", "resnet18", "--seed", "0")
SLOW = {"lr": 0.0001, "validate_every": 1}
"""Larger steps of a network this small carry a difference of rounding away."""
FOLDER = "runs/shapes/aicsd/resnet18-0"


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("processes") / "project", tracking={"enabled": False})
    for name in ("download", "preprocess", "train-teacher"):
        stage(project, name)
    change(project, runtime={"accelerator": "cpu", "devices": 2}, train=SLOW)
    return project


@pytest.fixture
def project(taught, tmp_path):
    return shutil.copytree(taught, tmp_path / "project")


@pytest.fixture(scope="module")
def alone(taught, tmp_path_factory):
    """The student as trained by one process."""
    folder = shutil.copytree(taught, tmp_path_factory.mktemp("alone") / "project")
    change(folder, runtime={"devices": 1})
    stage(folder, *STUDENT)
    return folder / FOLDER


def same(one: Path, other: Path) -> None:
    weights, others = (load_file(folder / "student.safetensors") for folder in (one, other))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        np.testing.assert_allclose(others[name], value, rtol=1e-2, atol=2e-3, err_msg=name)
    tables = [csv.DictReader((folder / "history.csv").read_text().splitlines()) for folder in (one, other)]
    for row, other_row in zip(*tables, strict=True):
        assert row.keys() == other_row.keys()
        for column, number in row.items():
            if number and not column.startswith("health/"):  # which tests/training compares
                assert float(other_row[column]) == pytest.approx(float(number), rel=1e-2, abs=2e-3), column


def start(project):
    """The student's training in two processes, after its first epoch: its process, and the other rank's."""
    command = [sys.executable, "-m", "pipeline", *STUDENT]
    process = subprocess.Popen(
        command,
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    (other,) = psutil.Process(process.pid).children()
    return process, other


def ended(process, *, within=15.0):
    """Wait for a process to end by itself; its output and exit code."""
    begun = time.monotonic()
    said, _ = process.communicate(timeout=60)
    assert time.monotonic() - begun < within
    return said, process.returncode


def test_two_processes_train_the_student_that_one_does_the_same_way_each_time(project, alone):
    said = stage(project, *STUDENT).stdout.splitlines()
    first = outputs(project / FOLDER)
    same(alone, project / FOLDER)
    assert len(said) == len(set(said))
    assert sum(line.startswith("epoch ") for line in said) == 3
    shutil.rmtree(project / ".state")
    shutil.rmtree(project / FOLDER)
    stage(project, *STUDENT)
    assert outputs(project / FOLDER) == first


@pytest.mark.parametrize("devices", [1, 2])
def test_a_killed_rank_ends_the_stage_which_goes_on_in_any_number_of_processes(project, devices):
    change(project, train={"epochs": 5})
    process, other = start(project)
    other.send_signal(signal.SIGKILL)
    said, code = ended(process)
    assert "error: rank 1 of 2 was killed by SIGKILL" in said
    assert "Traceback" not in said
    assert code == 128 + signal.SIGKILL
    change(project, runtime={"devices": devices})
    again = stage(project, *STUDENT).stdout
    assert "resuming after epoch" in again
    shutil.rmtree(project / ".state")
    whole = shutil.copytree(project / FOLDER, project / "resumed")
    change(project, runtime={"devices": 1})
    stage(project, *STUDENT)
    same(project / FOLDER, whole)


def test_an_error_of_one_rank_is_told_by_the_first(project):
    file = project / "src/icsd/training/validation.py"
    wrong = 'import os\n\nif os.environ.get("LOCAL_RANK") == "1":\n    raise RuntimeError("no such luck")\n'
    file.write_text(file.read_text() + wrong)
    done = stage(project, *STUDENT, ok=False)
    assert done.returncode == 70
    assert "error: rank 1 of 2: unforeseen RuntimeError: no such luck" in done.stderr
    assert done.stderr.count("error:") == 1


def test_an_error_of_all_ranks_is_told_once(project):
    change(project, train={"batch": 5})
    done = stage(project, *STUDENT, ok=False)
    assert done.returncode == 2
    assert done.stderr.count("cannot be divided among 2 processes") == 1
    assert done.stderr.count("error:") == 1


def test_no_rank_outlives_the_first(project):
    process, other = start(project)
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs([other], timeout=10)
    assert gone
    assert not alive
    assert not [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == os.fspath(project)]
