"""A small copy of the project: the real code and stages, few tiny images, narrow networks."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.imports import ROOT

from icsd.params import merge
from icsd.yaml_files import read_yaml, yaml_text

# Not the preset's own values: a better default is no reason for another test.
SGD = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0005, "warmup_epochs": 0.0}
TINY_PRESET = {
    "data": {"generated": {"train": 12, "val": 4, "test": 5, "size": 32}},
    "images": {"crop": [32, 32]},
    "networks": {
        "teacher": {"backbone": "resnet18", "width": 0.25},
        "students": {"resnet18": {"width": 0.125}},
    },
    "teacher": {**SGD, "epochs": 2, "batch": 4, "validate_every": 1},
    "train": {**SGD, "epochs": 3, "batch": 4, "validate_every": 2, "subset": "all", "unlabelled": 0},
    "monitor": {"similarity_every": 1},
}
TINY_PARAMS = {
    "grid": {"baselines": ["none", "kd"], "distilled": ["aicsd"], "seeds": [0]},
    "evaluation": {"panels": 2},
    "report": {"resamples": 100},
    "runtime": {"threads": 1},
    "tracking": {"models": False, "system_metrics": False},
}


def make_project(folder: Path, **changes: object) -> Path:
    """Copy the project to ``folder``; ``changes`` are blocks of params.yaml."""
    for name in ("src", "pipeline", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    write_yaml(folder / "params.yaml", merge(merge(read_yaml(ROOT / "params.yaml"), TINY_PARAMS), changes))
    preset = folder / "configs/datasets/shapes.yaml"
    write_yaml(preset, merge(read_yaml(preset), TINY_PRESET))
    return folder


@contextmanager
def entered(folder: Path) -> Iterator[None]:
    """The project is the working directory, and the repository that DVC would name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        yield


def change(project: Path, **changes: object) -> None:
    """Write blocks into the project's params.yaml."""
    path = project / "params.yaml"
    write_yaml(path, merge(read_yaml(path), changes))


def write_yaml(path: Path, tree: object) -> None:
    path.write_text(yaml_text(tree), encoding="utf-8")


def environment(project: Path) -> dict[str, str]:
    """Environment of the project's processes: nothing of the outer repository, DVC's files in the project."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "MLFLOW_", "ICSD_", "PYTEST_"))
    }
    return kept | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(project / ".dvc/tmp/site"),  # where git ignores it
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **{
            f"GIT_{who}_{what}": "test@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }


def run(project: Path, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in the project; with ``ok``, its output is shown if it fails."""
    done = subprocess.run(
        command, cwd=project, env=environment(project), capture_output=True, text=True, check=False
    )
    assert not ok or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def stage(project: Path, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the entry: ``stage(project, "train-student", "--method", …)``."""
    return run(project, sys.executable, "-m", "pipeline", *arguments, ok=ok)


def reproduce(project: Path, *stages: str) -> str:
    """Run the pipeline, or ``stages`` with what they need, and return what is printed.

    The outcome is that of ``dvc repro`` (tests/pipeline/test_run.py) in half of its time: libraries are
    imported once instead of once per stage.
    """
    return stage(project, "run", "-j", "2", *stages).stdout


def kill_in(project: Path, *arguments: str, training: str) -> None:
    """Kill a command in the second epoch of the named training, when the first checkpoint is saved."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    with subprocess.Popen(
        command, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        in_training = False
        for line in process.stdout:
            in_training |= line.startswith(training)
            if in_training and line.startswith("epoch 2/"):
                process.send_signal(signal.SIGKILL)
                break


def commit(project: Path) -> None:
    """Make the project a git repository with everything committed."""
    run(project, "git", "init", "-q")
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-q", "-m", "start")


def stale_stages(project: Path) -> set[str]:
    """The stages that ``dvc status`` calls changed, without those that only wait for another stage."""
    lines = run(project, "dvc", "status").stdout.splitlines()
    return {line.rstrip(":") for line in lines if line.endswith(":") and not line.startswith(("\t", " "))}


def outputs(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
