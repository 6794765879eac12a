"""Every block of params.yaml from training to report, on few tiny images."""

import csv
import sys

import pytest
from tests.imports import ROOT
from tests.project import make_project, run, stage

from icsd.yaml_files import read_yaml

pytestmark = pytest.mark.slow
METHODS = read_yaml(ROOT / "params.yaml")["methods"]
# One process for all: starting two for each method takes longer than what they do.
PROGRAM = """
import sys
from pathlib import Path

sys.path.insert(0, "src")
from icsd.stages.evaluation.run import evaluate_students
from icsd.stages.training.run import train_student

for name in sys.argv[1:]:
    train_student(Path.cwd(), method=name, student="resnet18", seed=0)
    evaluate_students(Path.cwd(), method=name)
"""


def test_every_method_is_trained_measured_and_reported(tmp_path):
    grid = {
        "baselines": [name for name, block in METHODS.items() if block["alw"] is False],
        "distilled": [name for name, block in METHODS.items() if block["alw"] is not False],
    }
    train = {"epochs": 2, "lr": 0.001}  # published weights on networks this small: little lets them diverge
    project = make_project(tmp_path, grid=grid, train=train, tracking={"enabled": False})
    for name in ("validate", "download", "preprocess", "train-teacher"):
        stage(project, name)
    stage(project, "evaluate", "--method", "teacher")
    run(project, sys.executable, "-c", PROGRAM, *METHODS)
    stage(project, "report")
    with (project / "reports/shapes/comparison.csv").open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"teacher", *METHODS}
    assert all(0 <= float(row["miou_mean"]) <= 100 for row in rows.values())
    for name in METHODS:
        with (project / f"runs/shapes/{name}/resnet18-0/history.csv").open(encoding="utf-8") as file:
            last = list(csv.DictReader(file))[-1]
        assert all(float(last[f"loss/{term}"]) >= 0 for term in METHODS[name]["weights"]), name
    page = (project / "reports/shapes/report.html").read_text(encoding="utf-8")
    assert "Fidelity ledger" in page
    assert "What each loss term did" in page
