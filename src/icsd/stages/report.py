"""Stage ``report``: tables, figures, report.html, and the summary of this execution in MLflow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from icsd import tracking
from icsd.files import remove_if_free, write_json
from icsd.params import Params
from icsd.records import CostRecord, read_record
from icsd.reporting.deployed import load_deployed
from icsd.reporting.reading import load_results
from icsd.reporting.report import write_report
from icsd.reporting.tables.writers import read_csv
from icsd.runs import main_root, state_root
from icsd.stages.dataset import dataset_in
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.guard import guarded
from icsd.stages.recording.registry import register_students
from icsd.stages.recording.report import record_report
from icsd.stages.validate import checked_params


def report(root: Path) -> None:
    """Write reports/<dataset>/ and reports/metrics.json from the results of the grid.

    Raises:
        UserError: A result file is malformed.
    """
    params = checked_params(root)
    with guarded(root, Path("reports")):
        _report(root, params)


def _report(root: Path, params: Params) -> None:
    results = load_results(
        root,
        dataset=params.dataset,
        methods=params.grid.methods,
        students=params.grid.students,
        seeds=params.grid.seeds,
    )
    deployed = load_deployed(root, results)
    dataset = dataset_in(params.data)
    destination = root / "reports" / params.dataset
    summary = write_report(
        results,
        destination=destination,
        classes=dataset.classes,
        palette=np.array(dataset.palette, np.uint8),
        resamples=params.report.resamples,
        seed=params.report.seed,
        rope=params.report.rope,
        clips=params.report.clip_pattern,
        deployed=deployed,
    )
    write_json(root / "reports" / "metrics.json", summary)
    for gap in results.gaps:
        print(f"missing: {gap}", flush=True)
    costs = _read_costs(root, params)
    if params.tracking.enabled:
        record_report(root, params, destination, summary, costs)
        compared, differences = (
            read_csv(destination / f"{name}.csv") for name in ("comparison", "differences")
        )
        files = read_csv(destination / "deployment.csv") if deployed else None
        register_students(root, params, results, compared, differences, files)
    if not params.tracking.enabled or tracking.deliver_pending(root) == 0:
        _remove_states(costs)
    print(f"reports/{params.dataset}/report.html", flush=True)


def _read_costs(root: Path, params: Params) -> list[CostRecord]:
    """The cost records of the grid's networks, as far as they exist."""
    paths = [root / key.cost for key in (teacher_key(params), *student_keys(params, params.grid.methods))]
    return [read_record(path, CostRecord) for path in paths if path.exists()]


def _remove_states(costs: Sequence[CostRecord]) -> None:
    """Remove the resume states of finished runs, whose curves MLflow has."""
    for cost in costs:
        folder = main_root() / cost.state
        if state_root() in folder.resolve().parents:
            remove_if_free(folder)
