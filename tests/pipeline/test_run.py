import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.pipeline.soundness import faults_of
from tests.project import commit, environment, make_project, run, stage, stale_stages

pytestmark = [
    pytest.mark.slow,
    # SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A tiny project before its first run."""
    project = make_project(
        tmp_path_factory.mktemp("run") / "start",
        grid={"baselines": ["none", "kd"], "distilled": ["aicsd"], "seeds": [0]},
        evaluation={"panels": 1},
        monitor={"health_steps": 1, "similarity_images": 2},
    )
    commit(project)
    return project


@pytest.fixture(scope="module")
def reference(start):
    """The same after ``dvc repro``."""
    project = start.with_name("reference")
    shutil.copytree(start, project, symlinks=True)
    run(project, "dvc", "repro")
    return project


def entries(project: Path) -> list[str]:
    lines = (project / "dvc.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("  ") and line[2] != " "]


def test_the_outcome_is_that_of_dvc_repro_and_another_clone_restores_it(start, reference, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(start, project, symlinks=True)
    done = stage(project, "run", "-j", "2")
    assert "13 of 13 stages are done: 13 ran" in done.stdout
    assert faults_of(reference, project) == []
    assert entries(project) == entries(reference)
    assert stale_stages(project) == set()
    assert "up to date" in run(project, "dvc", "repro").stdout
    clone = tmp_path / "clone"
    shutil.copytree(start, clone, symlinks=True)
    shutil.copytree(project / ".dvc/cache", clone / ".dvc/cache")
    assert "from the cache" in stage(clone, "run", "-j", "2", "train_teacher").stdout


def test_killed_with_its_stages_at_work_it_loses_nothing(start, reference, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(start, project, symlinks=True)
    log = project / ".state/logs/run/distill@aicsd-resnet18-0.txt"
    for number in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", "-j", "2"],
            cwd=project,
            env=environment(project),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            # A stage that resumes does not print its first epoch again.
            while process.poll() is None and not (log.exists() and "epoch " in log.read_text()):
                time.sleep(0.05)
            stages = psutil.Process(process.pid).children(recursive=True)
            assert stages
            process.send_signal(number)
        assert process.returncode == (143 if number == signal.SIGTERM else -number)
        _, alive = psutil.wait_procs(stages, timeout=60)
        assert alive == []
        log.unlink()
    stage(project, "repair")
    stage(project, "run", "-j", "2")
    assert faults_of(reference, project) == []
    assert entries(project) == entries(reference)


def test_a_stage_that_fails_says_so_in_the_words_of_its_own_error(start, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(start, project, symlinks=True)
    params = (project / "params.yaml").read_text(encoding="utf-8")
    (project / "params.yaml").write_text(params.replace("decay: linear", "decay: linnear"), encoding="utf-8")
    failed = stage(project, "run", ok=False)
    assert failed.returncode == 2
    assert "error: stage validate failed (exit code 2)" in failed.stdout
    assert "linnear" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
