"""Stage ``report``: tables, figures, report.html, and the summary of this execution in MLflow."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from icsd import tracking
from icsd.datasets import DATASETS
from icsd.files import write_json
from icsd.params import Params
from icsd.reporting.report import write_report
from icsd.reporting.results import load_results
from icsd.reporting.tables import read_table
from icsd.runs import main_root, state_root
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.recording.registry import register_students
from icsd.stages.validate import checked_params


def report(root: Path) -> None:
    """Write reports/<dataset>/ and reports/metrics.json from the results of the grid."""
    params = checked_params(root)
    results = load_results(
        root,
        dataset=params.dataset,
        methods=params.grid.methods,
        students=params.grid.students,
        seeds=params.grid.seeds,
    )
    dataset = DATASETS[params.data.reader]
    destination = root / "reports" / params.dataset
    summary = write_report(
        results,
        destination=destination,
        classes=dataset.classes,
        palette=np.array(dataset.palette, np.uint8),
        resamples=params.report.resamples,
        seed=params.report.seed,
    )
    write_json(root / "reports" / "metrics.json", summary)
    for gap in results.gaps:
        print(f"missing: {gap}", flush=True)
    costs = _costs(root, params)
    if params.tracking.enabled:
        _track(root, params, destination, summary, costs)
        register_students(root, params, results, read_table(destination / "comparison.csv"))
    if not params.tracking.enabled or tracking.deliver_pending(root) == 0:
        _forget_states(costs)
    print(f"reports/{params.dataset}/report.html", flush=True)


def _costs(root: Path, params: Params) -> list[dict[str, Any]]:
    """The cost files of the grid that exist."""
    paths = [root / key.cost for key in (teacher_key(params), *student_keys(params, params.grid.methods))]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def _track(
    root: Path, params: Params, destination: Path, summary: dict[str, Any], costs: list[dict[str, Any]]
) -> None:
    """One parent run per execution holds what all its networks add up to."""
    experiment, group = f"icsd-{params.dataset}", tracking.group_id(params.digest())
    tracking.deliver_pending(root)
    with tracking.open_parent(root=root, experiment=experiment, group=group) as parent:
        parent.params(params.model_dump(include={"dataset", "grid", "images", "train", "alw", "methods"}))
        parent.log(dict(_flat(summary)), step=0)
        parent.artifact(destination / "report.html")
        for kind in ("csv", "md"):
            parent.artifact(destination / f"comparison.{kind}", folder="tables")
        for figure in sorted((destination / "figures").glob("*.png")):
            parent.artifact(figure, folder="figures")
    run_ids = [cost["mlflow"]["run_id"] for cost in costs if cost["mlflow"] and cost["mlflow"]["run_id"]]
    tracking.tag_reused(root, run_ids, group=group)
    tracking.close_stale(root, experiment=experiment, group=group)


def _flat(summary: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """``{"resnet18": {"aicsd": {"miou": …}}}`` as ``resnet18/aicsd/miou``; gaps are left out."""
    for key, value in summary.items():
        if isinstance(value, dict):
            for name, number in _flat(value):
                yield f"{key}/{name}", number
        elif isinstance(value, int | float):
            yield key, float(value)


def _forget_states(costs: list[dict[str, Any]]) -> None:
    """The grid is complete and its curves are delivered: what was kept for resuming has done its work."""
    for cost in costs:
        folder = main_root() / cost["state"]
        if state_root() in folder.resolve().parents:
            shutil.rmtree(folder, ignore_errors=True)
