import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.imports import ROOT

from icsd.commands.run.forks import Forks, arguments_of
from icsd.commands.run.local import Local
from icsd.commands.run.place import Ended, Job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks only on Linux")

OURS = {"PATH": str(Path(sys.executable).parent)}
# A stand-in for the entry: the same protocol, other stages, no torch to import.
ENTRY = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
import icsd.commands.run.template as template
template.preload = lambda **given: None
import pipeline.stage
template.serve(int(sys.argv[2]), sys.argv[3:])
pipeline.stage.work()
"""
STAGE = """
import json, os, signal, sys, time
def work():
    print("version 1", flush=True)
    print("to stderr", file=sys.stderr, flush=True)
    found = {"argv": sys.argv[1:], "stage": os.environ.get("DVC_STAGE"), "outer": "OUTER" in os.environ,
             "folder": os.getcwd(), "parent": os.getppid(), "group": os.getpgid(0) == os.getpid(),
             "stdin": sys.stdin.read(), "files": len(os.listdir("/proc/self/fd"))}
    with open(os.environ["DVC_STAGE"] + ".json", "w") as file:
        json.dump(found, file)
    if "sleep" in sys.argv:
        time.sleep(60)
    if "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(3 if "fail" in sys.argv else 0)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A place with two slots, whose process to be forked runs the stand-in."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text("")
    (tmp_path / "pipeline/__main__.py").write_text(ENTRY)
    (tmp_path / "pipeline/stage.py").write_text(STAGE)
    monkeypatch.setenv("OUTER", "1")
    forks = Forks(tmp_path, ["tracking"], tmp_path / "forks.txt")
    place = Local([{"SLOT": "0"}, {"SLOT": "1"}], forks.start)
    yield place
    place.cancel(at_once=True)
    forks.close()


def job(folder, name, *words, environment=None):
    log = folder / f"{name}.txt"
    log.touch()
    command = " ".join(["python", "-m", "pipeline", "evaluate", *words])
    return Job(name, (command,), folder, environment or {**OURS, "DVC_STAGE": name}, log)


def ends(place, count):
    ended: list[Ended] = []
    deadline = time.monotonic() + 60
    while len(ended) < count and time.monotonic() < deadline:
        ended += place.wait(0.2)
    return {each.job.stage: each.code for each in ended}


def test_a_fork_is_what_a_fresh_process_would_be(place, tmp_path):
    place.submit(job(tmp_path, "one", "--method", "kd"))
    place.submit(job(tmp_path, "two", "fail"))
    assert place.room() == 0
    assert ends(place, 2) == {"one": 0, "two": 3}
    place.submit(job(tmp_path, "three", "kill"))
    assert ends(place, 1) == {"three": -signal.SIGKILL}
    assert place.room() == 2
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two", "three")}
    assert found["one"] == {
        "argv": ["evaluate", "--method", "kd"],
        "stage": "one",
        "outer": False,
        "folder": str(tmp_path),
        "parent": found["two"]["parent"],
        "group": True,
        "stdin": "",
        "files": 4,  # 0, 1, 2 and the listing itself
    }
    assert found["three"]["files"] == 4
    assert (tmp_path / "one.txt").read_text() == "version 1\nto stderr\n"
    assert (tmp_path / "forks.txt").read_text() == ""


def test_code_that_has_changed_is_not_forked(place, tmp_path):
    place.submit(job(tmp_path, "one"))
    assert ends(place, 1) == {"one": 0}
    (tmp_path / "pipeline/stage.py").write_text(STAGE.replace("version 1", "version 22"))
    (tmp_path / "pipeline/__main__.py").write_text("import pipeline.stage; pipeline.stage.work()")
    place.submit(job(tmp_path, "two"))
    assert ends(place, 1) == {"two": 0}
    assert (tmp_path / "two.txt").read_text() == "version 22\nto stderr\n"


def test_jobs_are_ended_as_a_person_asks(place, tmp_path):
    place.submit(job(tmp_path, "one", "sleep"))
    while not (tmp_path / "one.json").exists():
        time.sleep(0.05)
    place.cancel(at_once=False)
    assert ends(place, 1) == {"one": -signal.SIGTERM}


def test_where_the_process_is_lost_its_forks_end_and_a_shell_takes_over(place, tmp_path):
    place.submit(job(tmp_path, "one", "sleep"))
    while not (tmp_path / "one.json").exists():
        time.sleep(0.05)
    os.kill(json.loads((tmp_path / "one.json").read_text())["parent"], signal.SIGKILL)
    assert ends(place, 1) == {"one": -signal.SIGTERM}
    (tmp_path / "pipeline/__main__.py").write_text("import pipeline.stage; pipeline.stage.work()")
    place.submit(job(tmp_path, "two"))
    assert ends(place, 1) == {"two": 0}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("python -m pipeline evaluate --method kd", ["evaluate", "--method", "kd"]),
        ("python -m pipeline train-teacher", ["train-teacher"]),
        ("python -m pipeline report", None),  # imports little of it
        ("python -m pipeline", None),
        ("python -m pipeline evaluate --method $METHOD", None),
        ("python -m pipeline evaluate --method kd > log.txt", None),
        ("python -m pipeline evaluate --method kd; rm x", None),
        ("python -u -m pipeline evaluate --method kd", None),
        ("/usr/bin/nothing -m pipeline evaluate", None),
        ("A=1 python -m pipeline evaluate", None),
        ("python -m pipeline evaluate 'kd", None),
    ],
)
def test_only_plain_commands_of_the_entry_are_forked(command, arguments):
    assert arguments_of(command, OURS) == arguments


def test_another_python_is_not_forked(tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\n")
    (tmp_path / "python").chmod(0o755)
    assert arguments_of("python -m pipeline evaluate --method kd", {"PATH": str(tmp_path)}) is None


def test_a_command_of_many_lines_stops_at_the_first_that_fails(tmp_path):
    place = Local([{}], Forks(tmp_path, [], tmp_path / "forks.txt").start)
    log = tmp_path / "log.txt"
    log.touch()
    place.submit(Job("a", ("echo one", "exit 4", "echo two"), tmp_path, dict(os.environ), log))
    assert ends(place, 1) == {"a": 4}
    assert log.read_text() == "one\n"
    place.submit(Job("a", ("echo one",), tmp_path / "missing", dict(os.environ), log))
    (ended,) = place.wait(30)
    assert (ended.code, "cannot be started" in ended.reason) == (127, True)
    assert threading.active_count() < 5
