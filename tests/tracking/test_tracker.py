import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from icsd.tracking import NullTracker, Tracker, delivery, open_parent, open_tracker
from icsd.tracking import opening as opening_module
from icsd.tracking.journal import journal_lock
from icsd.tracking.store import open_client

if TYPE_CHECKING:
    from mlflow.entities import Run

matplotlib.use("Agg")
Track = Callable[..., Tracker]


def run_of(root: Path, tracker: Tracker) -> "Run":
    assert tracker.run_id is not None
    return open_client(root).get_run(tracker.run_id)


def history(root: Path, tracker: Tracker, key: str) -> list[tuple[int, float]]:
    assert tracker.run_id is not None
    points = open_client(root).get_metric_history(tracker.run_id, key)
    return sorted((point.step, point.value) for point in points)


def artifacts(root: Path, tracker: Tracker, folder: str = "") -> list[str]:
    assert tracker.run_id is not None
    return [file.path for file in open_client(root).list_artifacts(tracker.run_id, folder or None)]


def drawn(path: Path) -> Path:
    Figure().savefig(path)
    return path


def test_a_run_holds_what_was_recorded(track: Track, root: Path) -> None:
    with track() as tracker:
        tracker.params({"train": {"epochs": 3, "lr": 0.1}})
        tracker.tags({"icsd.stage": "distill@resnet18-0"})
        tracker.dataset("shapes", digest="0" * 64, source="generated", context="training")
        tracker.log({"loss/total": 2.0, "val/miou": 0.1}, 1)
        tracker.log({"loss/total": 1.0, "val/miou": float("nan")}, 2)
    run = run_of(root, tracker)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "kd · resnet18 · seed 0"
    assert run.data.params == {"train.epochs": "3", "train.lr": "0.1"}
    assert run.data.tags["icsd.method"] == "kd"
    assert run.data.tags["icsd.stage"] == "distill@resnet18-0"
    assert run.inputs.dataset_inputs[0].dataset.name == "shapes"
    assert history(root, tracker, "loss/total") == [(1, 2.0), (2, 1.0)]


def test_the_stage_and_experiment_of_dvc_are_tags(
    track: Track, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "baselines@kd-resnet18-0")
    monkeypatch.setenv("DVC_EXP_NAME", "cosine")
    with track() as tracker:
        pass
    tags = run_of(root, tracker).data.tags
    assert tags["icsd.stage"] == tags["mlflow.source.name"] == "baselines@kd-resnet18-0"
    assert tags["icsd.dvc_experiment"] == "cosine"


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (RuntimeError("loss is not finite"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(0), "FINISHED"),
        (SystemExit(2), "FAILED"),
    ],
)
def test_the_run_ends_as_its_process_does(
    track: Track, root: Path, error: BaseException | None, status: str
) -> None:
    tracker = track()
    tracker.__enter__()
    tracker.__exit__(type(error), error, None)
    assert run_of(root, tracker).info.status == status


@pytest.mark.usefixtures("unhurried")
def test_sigterm_ends_the_run_as_killed_and_restores_the_handler(track: Track, root: Path) -> None:
    tracker = track()
    with pytest.raises(SystemExit), tracker:
        signal.raise_signal(signal.SIGTERM)  # to this thread: its handler has run when the call returns
    assert run_of(root, tracker).info.status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_interrupted_run_is_continued_as_the_same_run(track: Track, root: Path) -> None:
    first = track()
    first.log({"loss": 1.0}, 1)
    first.log({"loss": 0.5}, 2)
    first.close("KILLED")
    second = track(run_id=first.run_id)
    with second:
        second.rewind(1)
        second.log({"loss": 0.5}, 2)
        deadline = time.monotonic() + 30
        while run_of(root, second).info.status != "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        second.log({"loss": 0.25}, 3)
    assert second.run_id == first.run_id
    assert history(root, second, "loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert run_of(root, second).info.status == "FINISHED"


def test_a_point_that_came_out_differently_is_recorded_too(track: Track, root: Path) -> None:
    with track() as tracker:
        tracker.log({"loss": 1.0}, 1)
        tracker.log({"loss": 1.5}, 1)
    assert history(root, tracker, "loss") == [(1, 1.0), (1, 1.5)]


def test_a_state_that_stays_stays_its_run_and_one_that_is_deleted_begins_another(
    track: Track, root: Path
) -> None:
    runs = []
    for deleted in (False, False, True):
        if deleted:
            shutil.rmtree(root / ".state")
        with track() as tracker:
            tracker.log({"loss": 1.0}, 1)
        runs.append(tracker.run_id)
    assert runs[0] == runs[1] != runs[2]
    assert history(root, tracker, "loss") == [(1, 1.0)]


def test_a_state_of_another_run_is_dropped(track: Track, root: Path) -> None:
    with track("a") as first, track("b") as other:
        first.log({"loss": 1.0}, 1)
        other.log({"loss": 2.0}, 1)
    with track("a", run_id=other.run_id) as third:
        third.log({"loss": 3.0}, 2)
    assert third.run_id == other.run_id
    assert history(root, other, "loss") == [(1, 2.0), (2, 3.0)]


def test_amending_leaves_the_state_and_the_times_of_a_run(track: Track, root: Path) -> None:
    with pytest.raises(RuntimeError), track("training") as training:
        raise RuntimeError
    before = run_of(root, training)
    with track("evaluation", run_id=training.run_id, amend=True) as evaluation:
        evaluation.log({"report/miou": 0.5}, 3)
    after = run_of(root, evaluation)
    assert after.info.status == "FAILED"
    assert (after.info.start_time, after.info.end_time) == (before.info.start_time, before.info.end_time)
    assert after.data.metrics == {"report/miou": 0.5}


def test_amending_a_run_that_is_gone_makes_one_that_ends(track: Track, root: Path) -> None:
    with track("evaluation", run_id="0" * 32, amend=True) as evaluation:
        evaluation.log({"report/miou": 0.5}, 3)
    assert run_of(root, evaluation).info.status == "FINISHED"
    assert evaluation.run_id != "0" * 32


def test_a_run_whose_state_was_lost_is_continued_by_its_id(track: Track, root: Path) -> None:
    with track() as first:
        first.log({"loss": 1.0}, 1)
    with track("elsewhere", run_id=first.run_id) as second:
        second.log({"loss": 0.5}, 2)
    assert history(root, second, "loss") == [(1, 1.0), (2, 0.5)]


def test_a_run_that_was_deleted_is_written_again(track: Track, root: Path) -> None:
    first = track()
    first.log({"loss": 1.0}, 1)
    first.close("KILLED")
    open_client(root).delete_run(str(first.run_id))
    with track() as second:
        second.log({"loss": 0.5}, 2)
    assert second.run_id != first.run_id
    assert history(root, second, "loss") == [(1, 1.0), (2, 0.5)]


def test_a_picture_has_a_step_and_one_logged_again_replaces_the_first(track: Track, root: Path) -> None:
    with track() as tracker:
        for value in (0, 0, 255):
            tracker.image(np.full((4, 300, 3), value, np.uint8), key="similarity/student", step=1)
        tracker.image(np.zeros((4, 4, 3), np.uint8), key="similarity/student", step=2)
    files = artifacts(root, tracker, "images")
    assert len([file for file in files if "similarity~student+step+1+timestamp" in file]) == 2
    assert len(files) == 4
    assert run_of(root, tracker).data.tags["mlflow.loggedImages"] == "True"


def test_files_and_folders_are_artifacts(track: Track, root: Path) -> None:
    tables = root / "tables"
    tables.mkdir()
    (tables / "results.csv").write_text("a,b\n")
    figure = drawn(root / "curves.png")
    with track() as tracker:
        tracker.artifact(figure, folder="figures")
        tracker.artifact(drawn(root / "overview.svg"))
        tracker.artifact(tables / "results.csv")
        tracker.artifact(tables, folder="report")
    assert artifacts(root, tracker) == ["figures", "overview.svg", "report", "results.csv"]
    assert artifacts(root, tracker, "figures") == ["figures/curves.png"]
    assert artifacts(root, tracker, "report/tables") == ["report/tables/results.csv"]


def test_copies_do_not_stay_once_delivered(track: Track, root: Path) -> None:
    figure = drawn(root / "curves.png")
    with track() as tracker:
        tracker.artifact(figure, folder="figures")
        tracker.image(np.zeros((4, 4, 3), np.uint8), key="panel", step=1)
    assert list((root / ".state").rglob("*.png")) == []


def test_values_that_mlflow_refuses_do_not_take_the_others_with_them(
    track: Track, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with track() as tracker:
        tracker.params({"lr": 0.1})
        tracker.params({"lr": 0.2, "epochs": 3})  # MLflow does not let a parameter change
        tracker.log({"loss": 1.0}, 1)
    run = run_of(root, tracker)
    assert run.data.params == {"lr": "0.1", "epochs": "3"}
    assert run.info.status == "FINISHED"
    assert "refuses" in caplog.text


def test_an_unusual_name_is_no_reason_to_fail(track: Track, root: Path) -> None:
    with track() as tracker:
        tracker.log({"weight/α·β": 0.5}, 1)
        tracker.params({"a b?": {"c$": "x" * 7000}})
        tracker.tags({"note": "x" * 9000})
    assert history(root, tracker, "weight/α_β") == [(1, 0.5)]


def test_the_machines_load_is_sampled_with_each_log(track: Track, root: Path) -> None:
    with track(system_metrics=True) as tracker:
        tracker.log({"loss": 1.0}, 1)
        tracker.log({"loss": 1.0}, 1)
    assert len(history(root, tracker, "system/process_memory_megabytes")) == 1
    assert history(root, tracker, "system/cpu_utilization_percentage")[0][0] == 1


def test_many_points_arrive_in_few_requests_and_all_of_them(
    track: Track, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PUSH_EVERY", 3600.0)
    with track() as tracker:
        for step in range(1, 31):
            tracker.log({f"term/{number}": step for number in range(50)}, step)
    assert history(root, tracker, "term/49") == [(step, step) for step in range(1, 31)]


def test_two_processes_cannot_record_the_same_run(
    track: Track, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening_module, "_LOCK_SECONDS", 0.0)
    with journal_lock(root / ".state" / "run"), track("run") as second:
        second.log({"loss": 1.0}, 1)
    assert isinstance(second, NullTracker)
    assert "another process" in caplog.text


def test_tracking_off_records_nothing(tmp_path: Path) -> None:
    off = open_tracker(
        root=tmp_path, experiment="e", group="g", name="n", tags={}, state=tmp_path / "state", enabled=False
    )
    assert isinstance(off, NullTracker)
    with off, open_parent(root=tmp_path, experiment="e", group="g", enabled=False) as parent:
        off.log({"loss": 1.0}, 1)
        parent.artifact(tmp_path)
    assert off.run_id is None
    assert list(tmp_path.iterdir()) == []


def test_a_report_may_be_written_to_the_parent_again_and_again(track: Track, root: Path) -> None:
    with track() as child:
        pass
    for miou in (0.5, 0.5, 0.6):
        with open_parent(root=root, experiment="icsd-shapes", group="workspace-1") as parent:
            parent.log({"aicsd.miou": miou}, 0)
            parent.artifact(drawn(root / "curves.png"), folder="figures")
    assert parent.run_id == run_of(root, child).data.tags["mlflow.parentRunId"]
    assert [value for _, value in history(root, parent, "aicsd.miou")] == [0.5, 0.6]
    assert run_of(root, parent).data.metrics == {"aicsd.miou": 0.6}
    assert run_of(root, parent).info.status == "FINISHED"
