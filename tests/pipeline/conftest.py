import shutil

import pytest
from tests.project import change, reproduce, run


@pytest.fixture(scope="module")
def own_copy(reproduced, tmp_path_factory):
    """A copy of the reproduced project without its MLflow store, for experiments: other files' tests count
    the runs in the original's."""
    folder = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(
        reproduced, folder, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db", "mlruns", ".state")
    )
    run(folder, "git", "checkout", "-q", "--", ".")
    change(folder, tracking={"models": False, "system_metrics": False})  # exporting a network takes seconds
    reproduce(folder)
    run(folder, "git", "commit", "-q", "-a", "-m", "without models in MLflow")
    return folder
