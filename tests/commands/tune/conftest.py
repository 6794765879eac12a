import shutil

import pytest
from tests.project import make_project

FILES = ("configs/tuned/shapes.yaml", "configs/tuned/shapes.csv")


@pytest.fixture(scope="package")
def searched(tmp_path_factory):
    """A tiny project after a search over two methods, without the images of the reported split."""
    folder = make_project(
        tmp_path_factory.mktemp("tune") / "project",
        tracking={"enabled": False},
        tuning={"trials": 3, "epochs": 2},
    )
    from icsd.commands.tune.run import tune
    from icsd.stages.download import download
    from icsd.stages.preprocess import preprocess
    from icsd.stages.training.run import train_teacher

    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        download(folder)
        preprocess(folder)
        train_teacher(folder)
        reported = list((folder / "data/shapes/processed").glob("report-*"))
        assert reported
        for path in reported:
            path.unlink()
        tune(folder, methods=[], trials=None, student=None)
    return folder


@pytest.fixture
def project(searched, tmp_path, monkeypatch):
    """A copy of the searched project, as the working directory."""
    folder = tmp_path / "copy"
    shutil.copytree(searched, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder
