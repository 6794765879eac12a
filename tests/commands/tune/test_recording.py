import shutil

import pytest
from tests.project import change

from icsd.commands.tune.run import tune
from icsd.tracking.store import open_client

# SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)


def test_a_search_that_is_extended_keeps_its_run(project, empty_store, capfd):
    shutil.copy(empty_store, project)
    change(project, tracking={"enabled": True})
    for trials in (2, 3):
        tune(project, methods=["kd"], trials=trials, student=None)
    client = open_client(project)
    [experiment] = [each for each in client.search_experiments() if each.name == "icsd-shapes-tuning"]
    [parent] = client.search_runs([experiment.experiment_id])
    assert parent.data.metrics["kd/trials"] == 3
    assert parent.data.params["tuning.epochs"] == "2"
    assert "MLflow refuses" not in "".join(capfd.readouterr())
