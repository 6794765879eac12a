import os
import shutil
import signal
import sys
import time

import pytest
from tests.project import commit, entered, make_project, reproduce, run


def pytest_configure():
    """Handle Ctrl-C again if a script's ``pytest &`` ignores it, which processes of tests would inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item):
    """Start no slow test after the time in SLOW_TESTS_UNTIL (seconds since 1970): a CI has a limit.

    On processors of 2017 all of them would exceed it; what is left out is listed, and counts as skipped.
    """
    until = float(os.environ.get("SLOW_TESTS_UNTIL") or "inf")
    if item.get_closest_marker("slow") and time.time() > until:
        pytest.skip("SLOW_TESTS_UNTIL has passed; run `poe slow` without it")


@pytest.fixture(autouse=True)
def _patient_process():
    """Gives every test the waiting budget for MLflow of a new process."""
    if module := sys.modules.get("icsd.tracking.patience"):
        module.PATIENCE.__init__()


@pytest.fixture
def one_thread():
    """Use one thread: the tests' small maps cost more to share among threads than to compute."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory):
    """A tiny project after its first run, committed; tests must leave it unchanged."""
    project = make_project(
        tmp_path_factory.mktemp("pipeline") / "project", tracking={"models": True, "system_metrics": True}
    )
    commit(project)
    reproduce(project)
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", "results")
    return project


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory):
    """A tiny project with its data prepared, tracking off; to be copied."""
    from icsd.stages.download import download
    from icsd.stages.preprocess import preprocess

    folder = make_project(tmp_path_factory.mktemp("prepared") / "project", tracking={"enabled": False})
    with entered(folder):
        download(folder)
        preprocess(folder)
    return folder


@pytest.fixture(scope="session")
def taught_once(prepared_once, tmp_path_factory):
    """A tiny project with its data prepared and its teacher trained, tracking off; to be copied."""
    from icsd.stages.training.run import train_teacher

    folder = tmp_path_factory.mktemp("taught") / "project"
    shutil.copytree(prepared_once, folder)
    with entered(folder):
        train_teacher(folder)
    return folder


@pytest.fixture
def prepared_project(prepared_once, tmp_path):
    """The working directory is a tiny project with its data prepared, tracking off."""
    folder = tmp_path / "project"
    shutil.copytree(prepared_once, folder)
    with entered(folder):
        yield folder


@pytest.fixture
def taught(taught_once, tmp_path):
    """The working directory is a tiny project with its data prepared and its teacher trained."""
    folder = tmp_path / "taught"
    shutil.copytree(taught_once, folder)
    with entered(folder):
        yield folder


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
