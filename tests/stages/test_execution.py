"""Parameters under DVC: those with which the execution began."""

import pytest
from tests.project import change, make_project

from icsd.errors import UserError
from icsd.params import load_params
from icsd.stages.validate import checked_params, validate


@pytest.fixture
def started(tmp_path, monkeypatch):
    """A project after ``validate``, in a stage that DVC started."""
    project = make_project(tmp_path / "project")
    monkeypatch.setenv("DVC_STAGE", "validate")
    validate(project, show=False)
    monkeypatch.setenv("DVC_STAGE", "baselines@kd-resnet18-0")
    return project


def test_a_stage_has_the_parameters_that_validate_has_written(started, capsys):
    assert checked_params(started) == load_params(started)
    assert capsys.readouterr().out == ""


def test_an_edit_during_an_execution_does_not_reach_its_stages(started, capsys):
    change(started, train={"lr": 0.5})
    assert checked_params(started).train.lr == 0.1
    assert "params.yaml was changed after `validate` ran" in capsys.readouterr().out
    (started / "params.yaml").write_text("dataset: shapes\ntrain: [", encoding="utf-8")
    with pytest.raises(UserError, match="line 2"):  # not even its dataset is known
        checked_params(started)


def test_a_stage_typed_by_hand_has_those_of_params_yaml(started, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    change(started, train={"lr": 0.5})
    assert checked_params(started).train.lr == 0.5


@pytest.mark.parametrize("content", ["", "{", "[]", '{"dataset": "shapes"}', None])
def test_a_damaged_file_of_parameters_says_how_to_mend_it(started, content):
    file = started / "data/shapes/validated/params.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"validated/params\.json.*run `dvc repro -f validate`"):
        checked_params(started)
