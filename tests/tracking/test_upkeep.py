import socket
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from icsd.tracking import Tracker, close_stale, deliver_pending, tag_reused
from icsd.tracking.run import find_runs
from icsd.tracking.store import open_client

matplotlib.use("Agg")
Track = Callable[..., Tracker]


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def children(root: Path) -> dict[str, str]:
    client = open_client(root)
    experiment = client.get_experiment_by_name("icsd-shapes")
    assert experiment is not None
    runs = find_runs(client, experiment.experiment_id, {"icsd.role": "child"})
    return {str(run.info.run_name): run.info.status for run in runs}


def die(tracker: Tracker) -> None:
    """End a tracker's delivery and release its lock, as the system does for a killed process."""
    delivery = tracker._delivery  # type: ignore[union-attr]
    delivery._finishing.set()
    delivery.wake()
    assert delivery._ended.wait(30)


@pytest.mark.usefixtures("unhurried")
def test_a_run_recorded_without_a_server_is_made_later_as_it_was(
    track: Track, root: Path, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port)
    with track() as tracker:
        tracker.params({"lr": 0.1})
        tracker.log({"loss": 1.0}, 1)
        tracker.image(np.zeros((4, 4, 3), np.uint8), key="panel", step=1)
        Figure().savefig(root / "curves.png")
        tracker.artifact(root / "curves.png", folder="figures")
    assert tracker.run_id is None
    assert deliver_pending(root) == 1

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert deliver_pending(root) == 0
    client = open_client(root)
    experiment = client.get_experiment_by_name("icsd-shapes")
    assert experiment is not None
    (run,) = find_runs(client, experiment.experiment_id, {"icsd.role": "child"})
    (point,) = client.get_metric_history(run.info.run_id, "loss")
    assert run.info.status == "FINISHED"
    assert run.info.start_time <= point.timestamp <= run.info.end_time
    assert run.data.params == {"lr": "0.1"}
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"figures", "images"}


def test_the_journal_of_a_live_process_is_left_alone(
    track: Track, root: Path, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port)
    with track() as tracker:
        tracker.log({"loss": 1.0}, 1)
        assert tracker.run_id is None
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert deliver_pending(root) == 1
        assert open_client(root).get_experiment_by_name("icsd-shapes") is None


def test_nothing_waits_in_a_fresh_repository(tmp_path: Path) -> None:
    assert deliver_pending(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_runs_of_dead_processes_are_closed_those_of_live_ones_and_other_groups_are_not(
    track: Track, root: Path
) -> None:
    dead, _alive, _other = track("dead"), track("alive"), track("other", group="workspace-2")
    assert dead.run_id
    assert _alive.run_id
    assert _other.run_id
    die(dead)
    assert close_stale(root, experiment="icsd-shapes", group="workspace-1") == [dead.run_id]
    assert children(root) == {"dead": "KILLED", "alive": "RUNNING", "other": "RUNNING"}


def test_a_reused_run_names_the_executions_that_use_it(track: Track, root: Path) -> None:
    with track() as tracker:
        pass
    for group in ("cosine", "cosine", "step", "workspace-1"):
        tag_reused(root, [(tracker.run_id, None)], experiment="icsd-shapes", group=group)
    assert open_client(root).get_run(str(tracker.run_id)).data.tags["icsd.reused_by"] == "cosine, step"


def test_upkeep_without_a_server_changes_nothing_and_does_not_fail(
    root: Path, closed_port: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port)
    assert close_stale(root, experiment="icsd-shapes", group="workspace-1") == []
    tag_reused(root, [("0" * 32, None)], experiment="icsd-shapes", group="cosine")
    assert caplog.text.count("cannot be reached") == 1
