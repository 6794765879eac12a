import re
import sys

import pytest
from pipeline.cli import cli
from pipeline.spellings import COMMANDS
from tests.project import change, make_project, run, stage


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("entries") / "project")


def test_the_commands_are_listed_in_sections(project):
    listed = stage(project, "--help").stdout
    bare = stage(project, ok=False)
    assert listed in (bare.stdout, bare.stderr)
    names = re.findall(r"^  ([a-z][a-z-]+)  ", listed, flags=re.MULTILINE)
    assert names == list(cli.commands)
    assert "Stages, which" in listed
    assert "Commands for people" in listed


@pytest.mark.parametrize("name", cli.commands)
def test_help_says_what_it_does_and_gives_an_example(project, name):
    shown = stage(project, name, "--help").stdout
    assert f"Example: python -m pipeline {name}" in shown


@pytest.mark.parametrize("old", ["validate", "download", "preprocess"])
def test_the_former_spelling_works_and_says_how_it_is_spelled_now(project, old):
    done = run(project, sys.executable, "-m", f"pipeline.{old}")
    assert f"python -m pipeline {COMMANDS[old]}" in done.stderr


def test_a_command_that_does_not_exist_is_answered_with_the_nearest(project):
    done = stage(project, "train_techer", ok=False)
    assert done.returncode == 2
    assert "Did you mean 'train-teacher'?" in done.stderr


def test_a_mistake_is_a_message_and_not_a_traceback(project):
    change(project, alw={"decay": "cosin"})
    done = stage(project, "download", ok=False)
    change(project, alw={"decay": "linear"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml")
    assert "did you mean 'cosine'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_methods_blocks_are_checked_against_their_classes(project):
    change(project, methods={"kd": {"temprature": 2.0}})
    done = stage(project, "validate", ok=False)
    project_params = (
        (project / "params.yaml").read_text(encoding="utf-8").replace("    temprature: 2.0\n", "")
    )
    (project / "params.yaml").write_text(project_params, encoding="utf-8")
    assert done.returncode == 2
    assert "methods.kd.temprature: unknown key; did you mean 'temperature'" in done.stderr


def test_classes_that_contradict_the_dataset_are_named(project):
    preset = project / "configs/datasets/shapes.yaml"
    text = preset.read_text(encoding="utf-8")
    preset.write_text(text.replace("classes: 9", "classes: 11"), encoding="utf-8")
    done = stage(project, "validate", ok=False)
    preset.write_text(text, encoding="utf-8")
    assert done.returncode == 2
    assert "data.classes: is 11, but shapes has 9 classes" in done.stderr


def test_the_resolved_tree_can_be_seen(project):
    shown = stage(project, "validate", "--show").stdout
    assert "num_nodes: 1" in shown
    assert "width: 0.125" in shown


def test_an_unknown_method_is_answered_with_the_grid(project):
    done = stage(project, "evaluate", "--method", "aiscd", ok=False)
    assert done.returncode == 2
    assert "none, kd, aicsd" in done.stderr
