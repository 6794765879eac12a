"""A real tracking server that goes away in the middle of a run, and comes back."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from icsd.tracking import Tracker, deliver_pending, delivery
from icsd.tracking.store import open_client

pytestmark = pytest.mark.slow  # a server takes seconds to start


class Server:
    """``mlflow server`` on a free port, with the store of a test."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        store = ["--backend-store-uri", f"sqlite:///{self._root}/mlflow.db", "-w", "1"]
        files = ["--artifacts-destination", f"file://{self._root}/served"]
        environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._process = subprocess.Popen(
            [*command, *store, *files],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=self._root,
        )
        deadline = time.monotonic() + 120
        while not self._answers():
            assert time.monotonic() < deadline, "the server does not come up"
            assert self._process.poll() is None, "the server has ended"
            time.sleep(0.1)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.uri}/health", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    server = Server(root)
    yield server
    server.kill()


def test_a_lost_server_stops_nothing_and_loses_nothing(
    server: Server,
    track: Callable[..., Tracker],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setattr(delivery, "RETRY_AFTER", 0.2)
    slowest = 0.0

    def log(tracker: Tracker, steps: range) -> None:
        nonlocal slowest
        for step in steps:
            started = time.monotonic()
            tracker.log({"loss": 1 / step, "miou": step / 20}, step)
            tracker.image(np.full((8, 8, 3), step, np.uint8), key="panel", step=step)
            slowest = max(slowest, time.monotonic() - started)

    server.start()
    with track(system_metrics=True) as tracker:
        log(tracker, range(1, 6))
        assert tracker.run_id is not None
        server.kill()
        tracker.params({"added": "while the server is away"})
        log(tracker, range(6, 11))
        server.start()
        log(tracker, range(11, 16))
        deadline = time.monotonic() + 60
        while tracker._journal.waiting and time.monotonic() < deadline:  # type: ignore[union-attr]
            time.sleep(0.1)
        server.kill()
        log(tracker, range(16, 21))
    assert caplog.text.count("cannot be reached") == 2, "one warning for each time the server goes away"
    assert slowest < 1, "nothing waits for the server"
    assert deliver_pending(root) == 1

    server.start()
    assert deliver_pending(root) == 0
    server.kill()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    client = open_client(root)  # the same database without the server
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"added": "while the server is away"}
    for key in ("loss", "system/process_memory_megabytes"):
        history = client.get_metric_history(tracker.run_id, key)
        assert sorted(point.step for point in history) == list(range(1, 21))
    assert len(list((root / "served").rglob("*.png"))) == 20
