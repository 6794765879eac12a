"""How MLflow's pages show an experiment; only tags of the experiment set this for all users."""

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
    "runsHiddenMode": "SHOW_ALL",  # otherwise charts show ten runs only
}
VIEW = "networks"
"""Key of the saved view that lists and plots every network of an experiment, the best first."""

FORMER_NOTE = (
    "One row per execution of the pipeline (open it to see one run per trained network). "
    "The parent carries the comparison: mean scores per method, tables and figures. "
    "The same numbers are in the files of the pipeline: history.csv, metrics.json, reports/."
)
"""The note of earlier versions, which may be replaced; a user's own note may not."""


def page_tags(experiment_id: str) -> dict[str, str]:
    """Default tags of an experiment.

    MLflow 3.17 opens every experiment in its view for language models, which has "no data", unless the URL or
    a click selects another. The note is shown there too, so it begins with a link to the right view.
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
