"""Before training: whether the grid can establish any difference."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pipeline.cli import cli
from scipy import stats
from tests.project import change, entered, make_project

from icsd import machine
from icsd.commands.foresight import foresight, slow_precision

GAINS = {"kd": [1.0, 2.0, 4.5], "aicsd": [0.2, -0.9, 1.0]}


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project", grid={"seeds": [0, 1, 2]})


def write_results(project, gains=GAINS):
    for method, own in {"none": [0.0, 0.0, 0.0], **gains}.items():
        for seed, gain in enumerate(own):
            folder = project / f"results/shapes/{method}/resnet18-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "metrics.json").write_text(json.dumps({"miou": 0.3 + 0.01 * seed + gain / 100}))


def write_report(project, lines):
    folder = project / "reports/shapes"
    folder.mkdir(parents=True)
    (folder / "comparison.csv").write_text("\n".join(["method,delta_std,n_pairs", *lines]))


def test_without_earlier_results_nothing_is_foreseen(project):
    assert foresight(project) is None


def test_the_smallest_difference_is_that_of_the_last_results(project):
    """3 methods: two differences to the student alone, which share half of the error rate."""
    write_results(project)
    write_report(project, ["kd,9.0,3"])  # older
    pooled = math.sqrt(np.mean([np.var(own, ddof=1) for own in GAINS.values()]))
    smallest = stats.t.ppf(1 - 0.05 / 2 / 2 / 2, 2) * pooled / math.sqrt(3)
    note = foresight(project)
    assert note is not None
    assert note.startswith(
        f"note: 3 methods × 3 seeds: differences to the student alone under {smallest:.1f} points cannot be"
    )
    assert f"deviation of {pooled:.2f} points over seeds in results/shapes" in note
    assert "For report.rope (0.5 points) " in note


def test_a_report_serves_where_results_are_not_there(project):
    write_report(project, ["teacher,,0", "none,,0", "kd,2.0,3", "other,nonsense,3", "aicsd,1.0,5"])
    note = foresight(project)
    assert note is not None
    assert f"deviation of {math.sqrt((4 * 2 + 1 * 4) / 6):.2f} points over seeds in reports/shapes" in note


def test_a_grid_that_is_large_enough_is_not_warned_of(project):
    write_results(project)
    change(project, report={"rope": 40.0})
    assert foresight(project) is None


def test_damaged_results_are_passed_over(project):
    write_results(project)
    (project / "results/shapes/none/resnet18-0/metrics.json").write_text("{")
    (project / "results/shapes/none/resnet18-1/metrics.json").write_text('{"miou": null}')
    assert foresight(project) is None
    write_report(project, ["kd,2.0,3"])
    (project / "reports/shapes/comparison.csv").write_bytes(b"\xff\xfe\x00")
    assert foresight(project) is None


def test_validate_prints_it_beside_its_output(project):
    write_results(project)
    with entered(project):
        done = CliRunner().invoke(cli, ["validate", "--show"])
    assert done.exit_code == 0, done.output
    assert "cannot be established" in done.stderr
    assert "cannot be established" not in done.stdout


@pytest.mark.parametrize(
    ("precision", "cuda", "instructions", "noted"),
    [
        ("bf16-mixed", False, False, True),
        ("bf16-mixed", False, True, False),
        ("bf16-mixed", False, None, False),  # the system does not tell
        ("bf16-mixed", True, False, False),
        ("32-true", False, False, False),
    ],
)
def test_bfloat16_without_its_instructions_is_noted(
    project, monkeypatch, precision, cuda, instructions, noted
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(machine, "has_bfloat16", lambda: instructions)
    change(project, runtime={"precision": precision})
    note = slow_precision(project)
    assert (note is not None) is noted
    assert note is None or "Set runtime.precision to 32-true" in note


def test_validate_prints_that_bfloat16_is_slow(project, monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    change(project, runtime={"mode": "fast"})
    with entered(project):
        done = CliRunner().invoke(cli, ["validate"])
    assert done.exit_code == 0, done.output
    assert "runtime.precision is bf16-mixed (runtime.mode: fast)" in done.stderr
