import shutil

import pytest
from tests.project import change

from icsd.commands.worth.recording import record_verdict
from icsd.params import load_params
from icsd.tracking.store import open_client

# SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)


def test_the_next_question_may_have_another_margin(taught, empty_store, capfd):
    """Its trainings are the same, so it has the same parent run."""
    shutil.copy(empty_store, taught)
    change(taught, tracking={"enabled": True})
    params = load_params(taught)
    for margin, verdict in ((0.5, "undecided"), (0.0, "worth it")):
        asked = {"methods": ["kd", "dist"], "student": "resnet18", "margin": margin, "max_seeds": 3}
        record_verdict(
            taught, params, group="worth-1", asked=asked, verdict=verdict, paragraph=f"It is {verdict}."
        )
    client = open_client(taught)
    [experiment] = [each for each in client.search_experiments() if each.name == "icsd-shapes-worth"]
    [parent] = client.search_runs([experiment.experiment_id])
    assert parent.data.tags["icsd.worth.methods"] == "kd, dist"
    assert parent.data.tags["icsd.worth.margin"] == "0.0"
    assert parent.data.tags["icsd.verdict"] == "worth it"
    assert "MLflow refuses" not in "".join(capfd.readouterr())
