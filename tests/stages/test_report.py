"""The stage ``report``, except for the report itself, which tests/reporting covers."""

import json

import numpy as np
import pytest
from tests.project import make_project

from icsd import tracking
from icsd.files import write_json
from icsd.stages import report as stage
from icsd.stages.report import report

COST = {
    **dict.fromkeys(("seconds_training", "seconds_per_epoch", "images_per_second"), 1.0),
    **dict.fromkeys(("device", "machine", "torch", "started", "finished"), "-"),
    **{"schema": 1, "peak_memory_mb": None, "extra_parameters": 0, "resumed": 0, "git": None, "mlflow": None},
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the costs of a teacher, and the states that it and something else left."""
    folder = make_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    for name in ("runs/shapes-teacher-1", "tuning"):
        (folder / ".state" / name).mkdir(parents=True)
    write_json(folder / "costs/shapes/teacher.json", {**COST, "state": ".state/runs/shapes-teacher-1"})
    write_json(folder / "costs/shapes/kd/resnet18-0.json", {**COST, "state": "../elsewhere"})
    (folder.parent / "elsewhere").mkdir()
    return folder


@pytest.fixture
def calls(monkeypatch):
    """The stage's calls, in order; nothing is plotted or sent."""
    calls = []

    def stand_in(name, result=None):
        def call(*arguments, **options):
            calls.append((name, arguments, options))
            return result

        return call

    monkeypatch.setattr(stage, "write_report", stand_in("report", {"resnet18": {"kd": {"miou": 1.0}}}))
    monkeypatch.setattr(stage, "record_report", stand_in("record"))
    monkeypatch.setattr(stage, "register_students", stand_in("register"))
    monkeypatch.setattr(stage, "read_csv", stand_in("table"))
    monkeypatch.setattr(tracking, "deliver_pending", stand_in("deliver", 0))
    return calls


def test_gaps_are_printed_and_the_summary_is_written(project, calls, capsys):
    report(project)
    printed = capsys.readouterr().out.splitlines()
    assert "missing: results/shapes/teacher/metrics.json" in printed
    assert printed[-1] == "reports/shapes/report.html"
    assert json.loads((project / "reports/metrics.json").read_text()) == {"resnet18": {"kd": {"miou": 1.0}}}
    name, _, options = calls[0]
    assert name == "report"
    assert options["resamples"] == 100
    assert options["palette"].dtype == np.uint8
    assert len(options["palette"]) == len(options["classes"]) == 9


def test_mlflow_gets_the_report_before_the_registry_and_states_go_last(project, calls):
    report(project)
    names = [name for name, _, _ in calls if name != "table"]
    assert names == ["report", "record", "register", "deliver"]
    assert len(next(arguments for name, arguments, _ in calls if name == "record")[4]) == 2  # costs
    assert not (project / ".state/runs/shapes-teacher-1").exists()


def test_only_states_of_runs_are_removed_whatever_a_cost_says(project, calls):
    report(project)
    assert (project.parent / "elsewhere").exists()
    assert (project / ".state/tuning").exists()


def test_states_stay_while_mlflow_has_not_everything(project, calls, monkeypatch):
    monkeypatch.setattr(tracking, "deliver_pending", lambda root: 1)
    report(project)
    assert (project / ".state/runs/shapes-teacher-1").exists()
