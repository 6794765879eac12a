"""The experiment's tags that MLflow's pages read; tests/browser covers the pages themselves."""

import json
from pathlib import Path

from icsd.tracking.pages import FORMER_NOTE, VIEW
from icsd.tracking.run import RunDescription, attach


def tags(root: Path) -> tuple[dict[str, str], str]:
    client, _ = attach(root, RunDescription("icsd-shapes", "workspace-1", "child", "kd", {}))
    experiment = client.get_experiment_by_name("icsd-shapes")
    assert experiment is not None
    return experiment.tags, experiment.experiment_id


def test_an_experiment_leads_out_of_the_view_for_language_models(root: Path) -> None:
    found, number = tags(root)
    assert found["mlflow.experimentKind"] == "custom_model_development"
    note = found["mlflow.note.content"]
    assert note.startswith(f"[Networks by mIoU](#/experiments/{number}/runs?workflowType=machine_learning&")
    assert f"viewStateShareKey={VIEW}" in note


def test_its_saved_view_has_every_network_the_best_first(root: Path) -> None:
    view = json.loads(tags(root)[0][f"mlflow.sharedViewState.{VIEW}"])
    state = json.loads(view["state"])
    assert view["name"] == "Networks by mIoU"
    assert state["orderByKey"] == state["selectedColumns"][0] == "metrics.`report/miou`"
    assert not state["orderByAsc"]
    assert state["runsHiddenMode"] == "SHOW_ALL"


def test_a_persons_own_note_stays_and_a_former_one_is_renewed(root: Path) -> None:
    client, _ = attach(root, RunDescription("icsd-shapes", "workspace-1", "child", "kd", {}))
    for note, stays in (("mine", True), (FORMER_NOTE, False)):
        client.set_experiment_tag("1", "mlflow.note.content", note)
        assert (tags(root)[0]["mlflow.note.content"] == note) is stays
