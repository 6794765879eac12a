"""What a report sends to MLflow: a parent run per execution, with parameters, scores, tables and figures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from icsd import tracking
from icsd.params import Params
from icsd.records import CostRecord
from icsd.reporting.tables import deployment
from icsd.reporting.tables.writers import read_csv
from icsd.yaml_files import yaml_text


def record_report(
    root: Path, params: Params, report: Path, summary: Mapping[str, Any], costs: Sequence[CostRecord]
) -> None:
    """Fill the parent run, tag the runs of an earlier execution that this one reuses, and close stale ones.

    Args:
        root: The repository.
        params: The parameters of this execution.
        report: The report's folder.
        summary: Content of reports/metrics.json.
        costs: The cost records of the networks in the report.
    """
    experiment, group = tracking.experiment_name(params.dataset), tracking.group_id(root, params.digest())
    tracking.deliver_pending(root)
    with tracking.open_parent(root=root, experiment=experiment, group=group) as parent:
        tree = params.model_dump(mode="json")
        parent.params(tree)
        parent.text(yaml_text(tree), "params.yaml")
        parent.log(dict(flat_numbers(summary)), step=0)
        if (report / "deployment.csv").exists():
            parent.log(dict(deployment.flat_numbers(read_csv(report / "deployment.csv"))), step=0)
        parent.artifact(report / "report.html")
        for name in ("comparison", "deployment"):
            for file in (report / f"{name}.{suffix}" for suffix in ("csv", "md")):
                if name == "comparison" or file.exists():
                    parent.artifact(file, folder="tables")
        for figure in sorted((report / "figures").glob("*.png")):
            parent.artifact(figure, folder="figures")
    runs = [(cost.mlflow.run_id, cost.mlflow.key) for cost in costs if cost.mlflow]
    tracking.tag_reused(root, runs, experiment=experiment, group=group)
    tracking.close_stale(root, experiment=experiment, group=group)


def flat_numbers(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """``{"resnet18": {"aicsd": {"miou": …}}}`` as ``resnet18/aicsd/miou``; the rest is left out."""
    for key, value in summary.items():
        if isinstance(value, Mapping):
            for name, number in flat_numbers(value):
                yield f"{key}/{name}", number
        elif isinstance(value, int | float):
            yield key, float(value)
