import subprocess
from pathlib import Path

import pytest
from tests.project import environment, write_yaml


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The working directory is an empty repository of DVC, without git."""
    return make_repository(tmp_path / "repository", monkeypatch)


def make_repository(folder: Path, monkeypatch) -> Path:
    folder.mkdir()
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text(
        "[core]\n    analytics = false\n    no_scm = true\n    check_update = false\n"
    )
    (folder / ".dvcignore").write_text("/.state\n")
    monkeypatch.chdir(folder)
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHELL", "/bin/sh")
    return folder


@pytest.fixture
def stages(repository):
    """Writes dvc.yaml: ``stages(name=(command, deps, outs))``, or a dictionary for any other stage."""

    def write(**given):
        tree = {
            name: stage if isinstance(stage, dict) else dict(zip(("cmd", "deps", "outs"), stage, strict=True))
            for name, stage in given.items()
        }
        write_yaml(repository / "dvc.yaml", {"stages": tree})
        return repository

    return write


@pytest.fixture
def dvc(repository):
    """Runs a DVC command and returns its output."""

    def run(*arguments, ok=True):
        done = subprocess.run(
            ["dvc", *arguments], cwd=repository, capture_output=True, text=True, check=False
        )
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
