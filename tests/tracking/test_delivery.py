"""Records on their way to servers that are slow, refuse, die or never answer."""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.tracking.servers import Refusal, Store, black_hole, nobody, serving

import icsd
from icsd.tracking import Tracker, deliver_pending, delivery, patience, tag_reused, tracker
from icsd.tracking.patience import PATIENCE
from icsd.tracking.store import open_client

Track = Callable[..., Tracker]
ERROR = '{{"error_code": "{}", "message": "no"}}'


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "RETRY_AFTER", 0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def refusing(part: str, answer: Refusal) -> Callable[[str, str], Refusal | None]:
    return lambda method, path: answer if part in path and method != "GET" else None


def everything_arrives(root: Path) -> bool:
    """Whether all records arrive within a minute."""
    deadline = time.monotonic() + 60
    while deliver_pending(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    return deliver_pending(root) == 0


def work(tracker: Tracker, root: Path, steps: range = range(1, 6)) -> None:
    (root / "weights.bin").write_bytes(b"1" * 1000)
    tracker.rewind(0)
    tracker.params({"lr": 0.1})
    for step in steps:
        tracker.log({"loss": 1 / step}, step)
    tracker.image(np.zeros((4, 4, 3), np.uint8), key="panel", step=1)
    tracker.artifact(root / "weights.bin")


@pytest.fixture
def train(track: Track, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], float]:
    """Record a run at an address; return the seconds for which the training was blocked."""

    def run(address: str) -> float:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with track() as tracker:
            begun = time.monotonic()
            work(tracker, root)
            return time.monotonic() - begun

    return run


def test_a_slow_server_keeps_no_training_and_gets_everything_once(
    train: Callable[[str], float], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(0.5)
    with serving(store) as address:
        assert train(address) < 0.5
        assert everything_arrives(root)
    assert store.steps("loss") == [1, 2, 3, 4, 5]
    assert store.ended == ["FINISHED"]
    assert len(store.uploads) == 3
    assert caplog.text.count("MLflow is slow") == 1


@pytest.mark.parametrize("place", [black_hole, nobody])
def test_a_server_that_never_answers_costs_a_process_seconds_once_and_one_line(
    place: Callable[..., object],
    train: Callable[[str], float],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(PATIENCE, "seconds", 1.0)
    with place() as address:  # type: ignore[attr-defined]
        begun = time.monotonic()
        assert train(address) < 0.5
        assert deliver_pending(root) == 1
        assert time.monotonic() - begun < 4
        assert len(caplog.records) == 1
    store = Store()
    with serving(store) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert everything_arrives(root)
    assert store.steps("loss") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("status", [400, 413])
def test_an_upload_that_is_refused_for_good_holds_up_nothing(
    status: int, train: Callable[[str], float], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.refuse = refusing("weights.bin", (status, "too large"))
    with serving(store) as address:
        train(address)
    assert store.ended == ["FINISHED"]
    assert len(store.uploads) == 2
    assert everything_arrives(root)
    assert caplog.text.count("MLflow refuses") == 1


@pytest.mark.parametrize("answer", [(403, "no"), (500, "disk full")])
def test_an_upload_that_is_not_taken_now_is_kept_and_holds_up_nothing(
    answer: Refusal, train: Callable[[str], float], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_AFTER", 60.0)
    store = Store()
    store.refuse = refusing("weights.bin", answer)
    with serving(store) as address:
        train(address)
        assert store.ended == ["FINISHED"]
        assert deliver_pending(root) == 1
        store.refuse = lambda method, path: None
        assert everything_arrives(root)
    assert store.uploads.count(next(path for path in store.uploads if path.endswith("weights.bin"))) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (400, ERROR.format("BAD_REQUEST")),  # what a server says whose database is damaged
        (500, ERROR.format("INTERNAL_ERROR")),
        (401, "who are you"),
    ],
)
def test_a_failing_store_refuses_nothing_for_good(
    answer: Refusal, train: Callable[[str], float], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.refuse = refusing("log-batch", answer)
    with serving(store) as address:
        train(address)
        assert deliver_pending(root) == 1
        store.refuse = lambda method, path: None
        assert everything_arrives(root)
    assert store.steps("loss") == [1, 2, 3, 4, 5]
    assert "refuses" not in caplog.text
    assert len(caplog.records) <= 3


def test_scores_of_an_evaluation_reach_the_run_that_its_training_could_not_make(
    track: Track, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nobody() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with track("training") as training:
            work(training, root)
        assert training.run_id is None
        with track("evaluation", run_id=None, key=training.key, amend=True) as evaluation:
            evaluation.log({"report/miou": 0.5}, 5)
    store = Store()
    with serving(store) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert everything_arrives(root)
    (points,) = [points for points in store.points.values() if points]
    assert {key for key, *_ in points} == {"loss", "report/miou"}


def test_a_database_damaged_in_the_middle_refuses_nothing_for_good(
    track: Track, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with track() as tracker:
        tracker.log({"loss": 1.0}, 1)
    database = root / "mlflow.db"
    with sqlite3.connect(database) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metrics'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    whole = database.read_bytes()
    with database.open("rb+") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with track() as tracker:
        tracker.rewind(1)
        for step in range(2, 6):
            tracker.log({"loss": 1 / step}, step)
    assert "refuses" not in caplog.text
    assert deliver_pending(root) == 1
    database.write_bytes(whole)
    assert everything_arrives(root)
    points = open_client(root).get_metric_history(str(tracker.run_id), "loss")
    assert sorted(point.step for point in points) == [1, 2, 3, 4, 5]


def test_a_full_disk_costs_records_and_no_training(
    track: Track, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with track() as recorder:
        recorder.log({"loss": 1.0}, 1)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", full)
            patch.setattr(tracker, "copy_file", full)
            recorder.log({"loss": 0.5}, 2)
            recorder.artifact(root / "mlflow.db")
            recorder.image(np.zeros((4, 4, 3), np.uint8), key="panel", step=1)
        recorder.log({"loss": 0.25}, 4)
    points = open_client(root).get_metric_history(str(recorder.run_id), "loss")
    assert sorted(point.step for point in points) == [1, 4]
    assert "cannot be kept on disk" in caplog.text


def record(tracker: Tracker, first: int) -> None:
    for step in range(first, first + 20):
        tracker.log({"loss": 1.0}, step)


def test_threads_may_record_together(track: Track, root: Path) -> None:
    with track() as tracker:
        threads = [threading.Thread(target=record, args=(tracker, first)) for first in range(0, 100, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    points = open_client(root).get_metric_history(str(tracker.run_id), "loss")
    assert sorted(point.step for point in points) == list(range(100))


def test_a_fork_records_nothing_and_waits_for_no_lock(track: Track) -> None:
    with track() as tracker:
        tracker.log({"loss": 1.0}, 1)
        with tracker._journal._lock:  # type: ignore[union-attr]  # as if a thread held it
            child = os.fork()
            if child == 0:
                tracker.log({"loss": 2.0}, 2)
                tracker.close()
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert tracker._journal.unknown({"loss": 2.0}, 2)  # type: ignore[union-attr]


def test_a_run_of_another_store_does_not_end_the_loop_over_all(
    track: Track, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with track() as tracker:
        pass
    runs = [("0" * 32, None), (None, "f" * 32), (None, None), (tracker.run_id, None)]
    tag_reused(root, runs, experiment="icsd-shapes", group="other")
    assert open_client(root).get_run(str(tracker.run_id)).data.tags["icsd.reused_by"] == "other"
    assert not caplog.records


ENDING = """
import os, signal, sys
from pathlib import Path
from icsd.tracking import open_tracker
root = Path(sys.argv[1])
with open_tracker(root=root, experiment="e", group="g", name="n", tags={}, state=root / ".state") as tracker:
    tracker.log({"loss": 1.0}, 1)
    if sys.argv[2] == "exception":
        raise ValueError("of the training")
    if sys.argv[2] == "exit":
        sys.exit(3)
    os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [("exception", 1), ("exit", 3), ("SIGTERM", 143)])
def test_a_process_ends_as_it_would_without_a_black_hole(how: str, code: int, tmp_path: Path) -> None:
    source = str(Path(icsd.__path__[0]).parent)
    with black_hole() as address:
        environment = {**os.environ, "PYTHONPATH": source, "MLFLOW_TRACKING_URI": address}
        begun = time.monotonic()
        command = [sys.executable, "-c", ENDING, str(tmp_path), how]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert time.monotonic() - begun < patience.WAIT_SECONDS + 20
    assert "Fatal" not in done.stderr
