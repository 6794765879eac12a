import pytest
from tests.project import make_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The working directory is a tiny project with its data prepared, tracking off."""
    from icsd.assembly.download import download
    from icsd.assembly.preprocess import preprocess

    folder = make_project(tmp_path / "project", tracking={"enabled": False})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    download(folder)
    preprocess(folder)
    return folder
