"""How MLflow's pages show an experiment. Only tags of the experiment can say it to everybody who opens it."""

import json

from icsd.tracking.names import CHILD, Tag

_SCORE = "report/miou"
_NETWORKS = {
    "searchFilter": f"tags.`{Tag.ROLE}` = '{CHILD}'",
    "orderByKey": f"metrics.`{_SCORE}`",
    "orderByAsc": False,
    "selectedColumns": [
        f"metrics.`{_SCORE}`",
        "metrics.`report/pixel_accuracy`",
        *(f"tags.`{tag}`" for tag in (Tag.METHOD, Tag.STUDENT, Tag.SEED, Tag.GROUP)),
        "attributes.`Models`",
    ],
    "runsHiddenMode": "SHOW_ALL",  # charts draw ten runs otherwise
}
VIEW = "networks"
"""Key of the saved view that lists and draws every network of an experiment, the best first."""

FORMER_NOTE = (
    "One row per execution of the pipeline (open it to see one run per trained network). "
    "The parent carries the comparison: mean scores per method, tables and figures. "
    "The same numbers are in the files of the pipeline: history.csv, metrics.json, reports/."
)
"""The note of earlier versions, which may be replaced; a person's own may not."""


def page_tags(experiment_id: str) -> dict[str, str]:
    """Tags for an experiment that has none of its own.

    MLflow 3.17 opens every experiment in its view for language models, which has "no data", unless the
    address or a click says otherwise. It shows the note there, too: so the way out is the note's first word.
    """
    runs = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    view = {"name": "Networks by mIoU", "createdAt": 0, "updatedAt": 0, "state": json.dumps(_NETWORKS)}
    return {
        "mlflow.note.content": (
            f"[Networks by mIoU]({runs}&viewStateShareKey={VIEW}), "
            f"[their curves]({runs}&viewStateShareKey={VIEW}&compareRunsMode=CHART), "
            f"[executions of the pipeline]({runs}). An execution is one row, with the comparison, its tables "
            "and figures; opened, it shows a run per trained network. The same numbers are in the pipeline's "
            "files: history.csv, metrics.json, reports/."
        ),
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }
