"""The pipeline that ``worth`` starts for its teacher: signals, failures, and the end of ``worth``."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from icsd.commands.worth.teacher import bring_teacher_up_to_date

SLOW = """
import signal, sys, time
from pathlib import Path

def stop(number, frame):
    Path(f"asked-{time.monotonic_ns()}").touch()
    time.sleep(0.5)  # longer than Python waits for a child after Ctrl-C
    Path("saved").touch()
    sys.exit(128 + number)

for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, stop)
Path("ready").touch()
time.sleep(60)
"""


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def root(tmp_path):
    """A folder whose ``python -m pipeline`` saves its state slowly after a signal."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").touch()
    (tmp_path / "pipeline/__main__.py").write_text(SLOW)
    return tmp_path


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_reaches_the_pipeline_once_and_is_not_followed_by_a_kill(root, number, raised):
    def interrupt():
        until((root / "ready").exists)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    former = signal.getsignal(number)
    with pytest.raises(raised) as caught:
        bring_teacher_up_to_date(root)
    thread.join()
    assert raised is KeyboardInterrupt or caught.value.code == 143
    assert (root / "saved").exists()
    assert len(list(root.glob("asked-*"))) == 1
    assert signal.getsignal(number) is former


def test_what_nohup_ignores_is_not_passed_on(root):
    def hang_up():
        until((root / "ready").exists)
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(SystemExit):
            bring_teacher_up_to_date(root)
        thread.join()
    finally:
        signal.signal(signal.SIGHUP, former)
    assert (root / "saved").exists()


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems do not tell a child that its parent is gone"
)
def test_the_pipeline_stops_when_worth_is_killed(root):
    program = (
        "from pathlib import Path; from icsd.commands.worth.teacher import bring_teacher_up_to_date as b"
    )
    with subprocess.Popen(  # its modules are found after the folder's own
        [sys.executable, "-c", f"{program}; b(Path.cwd())"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as process:
        until((root / "ready").exists)
        process.kill()
    until((root / "saved").exists)


@pytest.mark.parametrize(("program", "code"), [("exit(74)", 74), ("import os; os.kill(os.getpid(), 9)", 1)])
def test_a_pipeline_that_fails_says_so_and_its_code_is_kept(root, capsys, program, code):
    (root / "pipeline/__main__.py").write_text(program)
    with pytest.raises(SystemExit) as caught:
        bring_teacher_up_to_date(root)
    assert caught.value.code == code
    how = "failed, for the reason above" if code == 74 else "was killed"
    assert f"`python -m pipeline run train_teacher` {how}, and without its teacher" in capsys.readouterr().err
