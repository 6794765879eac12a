"""Stages on other machines, all of which are this one: Ray's nodes, and submitit's jobs instead of SLURM's.

One worker is killed in the middle of a training; the outcome is that of ``dvc repro``.
"""

import os
import re
import shutil
import subprocess
import sys

import mlflow
import psutil
import pytest
from tests.project import change, commit, environment, make_project, outputs, reproduce, run

pytestmark = [
    pytest.mark.slow,
    # SQLAlchemy deprecates a loader strategy that MLflow 3.17 uses on every start.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]
AS_SLURM = (
    "import sys; from pathlib import Path; import pipeline; from icsd.commands.run.command import run; "
    "sys.exit(run(Path.cwd(), on='local'))"
)
EPOCHS = 6
"""Enough to be killed in the middle of."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """A project after a run on this machine; its state before that is kept next to it."""
    folder = tmp_path_factory.mktemp("clusters")
    project = make_project(
        folder / "before",
        grid={"baselines": ["none"], "distilled": ["aicsd"], "seeds": [0]},
        train={"epochs": EPOCHS},
        cluster={"memory": 0.1},
    )
    commit(project)
    method = project / "src/icsd/methods/aicsd.py"
    method.write_text(f"{method.read_text()}\n# not committed\n")  # its digest is in train.json
    shutil.copytree(project, folder / "expected")
    reproduce(folder / "expected")
    return folder / "expected"


@pytest.fixture
def project(expected, tmp_path):
    """The project from before ``dvc repro``, with a remote."""
    folder = tmp_path / "project"
    shutil.copytree(expected.with_name("before"), folder)
    run(folder, "dvc", "remote", "add", "--local", "-d", "store", str(tmp_path / "remote"))
    return folder


RAY = """
from ray.cluster_utils import Cluster

here = {"node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **here})
for _ in range(2):
    cluster.add_node(num_cpus=1, **here)
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""
ON_LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # there Ray stays on 127.0.0.1, and so it does here
    "RAY_USAGE_STATS_ENABLED": "0",
}


@pytest.fixture
def ray_address():
    """A cluster of Ray: a head that runs nothing, and two workers."""
    with subprocess.Popen(
        [sys.executable, "-c", RAY],
        env=os.environ | ON_LOOPBACK,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield next(line.strip() for line in process.stdout if line.startswith("127.0.0.1:"))
        process.communicate("\n")


def run_and_kill(project, command, worker, **more):
    """Run a command, kill a student's worker after its second epoch, and return what is printed.

    Args:
        project: The repository.
        command: Its words.
        worker: Whether a command line is that of the worker.
        more: Of its environment.
    """
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{project.parent}/mlflow.db", **more}
    printed, killed = [], False
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment(project) | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            printed.append(line)
            if not killed and "distill@" in line and f"epoch 2/{EPOCHS}" in line:
                os.kill(worker_of("distill@aicsd-resnet18-0", worker), 9)
                killed = True
    text = "".join(printed)
    assert killed, text
    assert process.returncode == 0, text
    return text


def worker_of(stage, worker):
    """The process that runs a stage's DVC."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("DVC_STAGE") == stage:
                return next(each.pid for each in process.parents() if worker(" ".join(each.cmdline())))
        except (psutil.Error, StopIteration):
            continue
    raise AssertionError(f"nothing runs {stage}")


def assert_as_expected(project, expected, printed):
    """Check that a worker was killed once and resumed, and that the results equal those of ``dvc repro``."""
    assert re.search(r"its worker.* died; attempt 2 of 3", printed)
    assert "resuming after epoch" in printed
    assert "files travel as they are, with what is not committed: src/icsd/methods/aicsd.py" in printed
    for name in ("runs", "results"):
        made, wanted = outputs(project / name), outputs(expected / name)
        assert made.keys() == wanted.keys()
        different = [path for path in made if made[path] != wanted[path]]
        assert not different
    assert "up to date" in run(project, "dvc", "status").stdout
    client = mlflow.MlflowClient(f"sqlite:///{project.parent}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("icsd-shapes").experiment_id])
    parents = [each for each in runs if each.data.tags["icsd.role"] == "parent"]
    assert len(parents) == 1
    [student] = [each for each in runs if each.data.tags.get("icsd.method") == "aicsd"]
    assert student.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
    points = client.get_metric_history(student.info.run_id, "loss/ce")
    assert [point.step for point in points] == list(range(1, EPOCHS + 1))
    assert student.info.status == "FINISHED"


def test_stages_run_on_the_nodes_of_ray(project, expected, ray_address):
    change(project, cluster={"scratch": str(project.parent / "scratch")})
    commands = [sys.executable, "-m", "pipeline", "run", "--on", "ray"]
    printed = run_and_kill(
        project,
        commands,
        lambda words: words.startswith("ray::"),
        RAY_ADDRESS=ray_address,
        **ON_LOOPBACK,
    )
    assert_as_expected(project, expected, printed.replace("params.yaml, ", ""))


def test_stages_run_as_jobs_of_submitit(project, expected):
    printed = run_and_kill(
        project, [sys.executable, "-c", AS_SLURM], lambda words: "submitit.core._submit" in words
    )
    assert_as_expected(project, expected, printed)
