import shutil

import pytest
from tests.commands.new_dataset import folders
from tests.imports import ROOT

from icsd.commands.new_dataset.run import new_dataset
from icsd.yaml_files import read_yaml


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The working directory, with the parts of a checkout that the command needs."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


@pytest.fixture
def described(project, tmp_path, capsys):
    """Writes a folder from pairs of paths and runs the command; returns the preset and the output."""

    def describe(pairs=(), values=(0, 1, 2), *, name="own", **options):
        root = folders.write(tmp_path / name, pairs, values, **options)
        new_dataset(project, root, name=None, ask=False, force=False)
        return read_yaml(project / f"configs/datasets/{name}.yaml"), capsys.readouterr().out

    return describe
