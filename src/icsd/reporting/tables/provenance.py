"""The origin of each row: MLflow run, commit, digest of the weights, date."""

from dataclasses import replace

import pandas as pd

from icsd.reporting.results import Results
from icsd.reporting.tables.cells import Display
from icsd.reporting.tables.columns import run_id, texts_display


def rows(results: Results) -> pd.DataFrame:
    """One row per network, the teacher first."""
    table = []
    for run in (results.teacher, *results.runs.values()):
        mlflow = run.cost.mlflow if run.cost else None
        git = run.cost.git if run.cost else None
        commit = f"{git.commit[:12]}{' + changes' if git.dirty else ''}" if git and git.commit else None
        table.append(
            {
                "student": run.student,
                "method": run.method,
                "seed": run.seed,
                "weights_sha256": run.metrics.weights_sha256 if run.metrics else None,
                "git_commit": commit,
                "mlflow_experiment": mlflow.experiment if mlflow else None,
                "mlflow_run_id": mlflow.run_id if mlflow else None,
                "finished": run.cost.finished if run.cost else None,
                "resumed": run.cost.resumed if run.cost else None,
            }
        )
    return pd.DataFrame(table).astype({"resumed": "Int64"})


def display(table: pd.DataFrame) -> Display:
    """Format all columns; other tables link to the first run of a method."""
    headers = [str(name).replace("_", " ") for name in table.columns]
    first = ~table.duplicated(["student", "method"])
    ids = tuple(
        run_id(row["student"], row["method"]) if is_first else None
        for row, is_first in zip(table.to_dict("records"), first, strict=True)
    )
    notes = (
        "A run in MLflow: search its list for attributes.run_id = '…' (README, MLflow). Is a row still what "
        "it was made of? python -m pipeline verify --method … --student … --seed …",
        "The digests of code, data and teacher are in runs/<dataset>/<run>/train.json.",
    )
    texts = texts_display("provenance", "Provenance", table, headers, num_labels=len(headers))
    return replace(texts, ids=ids, notes=notes)
