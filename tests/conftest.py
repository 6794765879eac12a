import sys

import pytest
from tests.project import commit, make_project, run


@pytest.fixture(autouse=True)
def _patient_process():
    """Every test waits for MLflow as a new process would."""
    if module := sys.modules.get("icsd.tracking.patience"):
        module.PATIENCE.__init__()


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory):
    """A tiny project after its first ``dvc repro``, committed; every test leaves it as it was."""
    project = make_project(
        tmp_path_factory.mktemp("pipeline") / "project", tracking={"models": True, "system_metrics": True}
    )
    commit(project)
    run(project, "dvc", "repro")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", "results")
    return project


@pytest.fixture
def prepared_project(tmp_path, monkeypatch):
    """The working directory is a tiny project with its data prepared, tracking off."""
    from icsd.stages.download import download
    from icsd.stages.preprocess import preprocess

    folder = make_project(tmp_path / "project", tracking={"enabled": False})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    download(folder)
    preprocess(folder)
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """MLflow's database before its first run: making one takes seconds, so tests copy it."""
    from icsd.tracking.store import open_client

    root = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as environment:
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
            environment.delenv(name, raising=False)
        open_client(root).search_experiments()
    return root / "mlflow.db"
