"""Mistakes that only the whole tree shows, and outputs that make nothing stale without need."""

import json

import pytest
from tests.project import change, make_project, outputs, write_yaml

from icsd.errors import UserError
from icsd.stages.code import code_of_method
from icsd.stages.validate import checked_params, validate
from icsd.yaml_files import read_yaml


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


def edit_preset(project, **data):
    preset = project / "configs/datasets/shapes.yaml"
    tree = read_yaml(preset)
    tree["data"] |= data
    write_yaml(preset, tree)


def validated(project):
    validate(project, show=False)
    return outputs(project / "data/shapes/validated")


def test_an_unknown_reader_is_answered_with_a_known_one(project):
    edit_preset(project, reader="shape")
    with pytest.raises(UserError, match=r"data\.reader: there is no dataset 'shape'; did you mean 'shapes'"):
        checked_params(project)


def test_the_number_of_classes_is_that_of_the_reader(project):
    edit_preset(project, classes=4)
    with pytest.raises(UserError, match=r"data\.classes: is 4, but shapes has 9 classes .* set it to 9"):
        checked_params(project)


def test_only_the_generator_takes_settings_of_the_generator(project):
    edit_preset(project, generated=None)
    with pytest.raises(UserError, match=r"data\.generated: the reader `shapes` needs it"):
        checked_params(project)


def test_a_methods_block_is_checked_against_its_class(project):
    change(project, methods={"kd": {"temprature": 2.0}})
    with pytest.raises(UserError, match=r"methods\.kd\.temprature.*did you mean 'temperature'"):
        validate(project, show=False)
    assert not (project / "data/shapes/validated").exists()


def test_a_valid_change_changes_no_output(project):
    before = validated(project)
    change(project, train={"lr": 0.02}, alw={"decay": "cosine"}, methods={"kd": {"temperature": 2.0}})
    assert validated(project) == before


def test_every_method_has_the_digests_of_its_own_files(project):
    files = validated(project)
    methods = read_yaml(project / "params.yaml")["methods"]
    assert set(files) == {"params.json", *(f"methods/{name}.json" for name in methods)}
    for name, block in methods.items():
        assert json.loads(files[f"methods/{name}.json"]) == {"code": code_of_method(name, block)}


def test_the_resolved_tree_can_be_printed(project, capsys):
    validate(project, show=True)
    assert "\n  epochs: 3\n" in capsys.readouterr().out  # of the preset


def test_a_password_in_an_address_ends_here_before_dvc_could_keep_it(tmp_path, monkeypatch):
    project = make_project(
        tmp_path / "project", dataset="camvid", data={"source": "https://me:secret@host/x.tar"}
    )
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match=r"dvc\.lock") as caught:
        checked_params(project)
    assert "secret" not in str(caught.value)
