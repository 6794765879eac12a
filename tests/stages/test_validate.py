"""Mistakes that only the whole tree shows, and outputs that make nothing stale unnecessarily."""

import json
import sys

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


def test_writing_out_what_the_preset_says_changes_no_output(project):
    before = validated(project)
    change(project, train={"epochs": 3}, networks={"students": {"resnet18": {"width": 0.125}}})
    assert validated(project) == before


def test_a_change_changes_the_files_of_the_stages_that_it_concerns(project):
    before = validated(project)
    change(project, alw={"decay": "cosine"}, methods={"kd": {"temperature": 2.0}}, runtime={"workers": 1})
    after = validated(project)
    assert {name for name in before if before[name] != after[name]} == {
        *("params.json", "students/kd/resnet18.json", "students/aicsd/resnet18.json")
    }


def test_every_student_of_the_grid_has_its_numbers_and_the_digests_of_its_methods_files(project):
    files = validated(project)
    methods = read_yaml(project / "params.yaml")["methods"]
    grid = ("none", "kd", "aicsd")
    assert set(files) == {
        *(f"{name}.json" for name in ("params", "download", "preprocess", "teacher", "deploy", "report")),
        *(f"evaluate_{name}.json" for name in ("teacher", "students")),
        *(f"students/{name}/resnet18.json" for name in grid),
    }
    for name in grid:
        content = json.loads(files[f"students/{name}/resnet18.json"])
        assert content["code"] == code_of_method(name, methods[name])
        assert content["numbers"]["training"]["epochs"] == 3
        assert content["numbers"]["method"]["weights"] == methods[name]["weights"]


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


@pytest.mark.parametrize(("formats", "named"), [(["onnx", "torch"], "onnx needs"), (["int8"], "int8 needs")])
def test_a_format_without_its_library_is_refused_before_anything_is_trained(
    project, monkeypatch, formats, named
):
    change(project, deploy={"formats": formats})
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=rf"deploy\.formats: {named}.*onnxruntime cannot.*--extra deploy"):
        validate(project, show=False)
    assert not (project / "data/shapes/validated").exists()


def test_without_formats_or_with_torch_alone_no_library_is_missed(project, monkeypatch):
    for library in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, library, None)
    validate(project, show=False)
    change(project, deploy={"formats": ["torch"]})
    validate(project, show=False)
