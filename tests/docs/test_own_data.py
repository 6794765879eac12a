"""docs/own_data.md, word for word: its folder, its commands, and what they print."""

import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from PIL import Image
from pipeline.cli import cli
from tests.commands.new_dataset.folders import write_json
from tests.docs.blocks import block, overrides
from tests.docs.markdown import section
from tests.docs.photos import COLOURS, write_photos
from tests.imports import ROOT
from tests.libraries import write_segformer
from tests.project import change, commit, make_project, run, write_yaml

from icsd.datasets.reading.images import read_image
from icsd.params import merge
from icsd.params.reading import parse_params, read_tree
from icsd.stages.validate import check_tree
from icsd.yaml_files import read_yaml

PAGE = "docs/own_data.md"
TINY = {"epochs": 1, "batch": 4, "validate_every": 1, "warmup_epochs": 0.0}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A home folder with the page's photographs."""
    home = tmp_path_factory.mktemp("home")
    write_photos(home / "photos")
    return home


@pytest.fixture
def project(photos, tmp_path, monkeypatch):
    """The working directory, with the parts of a project that the commands need; ~ has the page's folder."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.setenv("HOME", str(photos))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.chdir(folder)
    return folder


def typed(command):
    """Run a command of the entry; return its output."""
    words = [os.path.expanduser(word) for word in shlex.split(command)]  # noqa: PTH111 - as a shell does
    assert words[:3] == ["python", "-m", "pipeline"]
    done = CliRunner().invoke(cli, words[3:])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def commands():
    """The page's three commands."""
    install, look, train = block(PAGE, "python3 -m venv").commands
    return install, look, train


def test_the_folder_is_as_the_page_says(photos):
    lines = block(PAGE, "photos/images").lines
    assert all((photos / line.split()[0]).is_file() for line in lines)
    sizes = {read_image(path).shape for path in (photos / "photos/images").iterdir()}
    assert (min(sizes), max(sizes)) == ((240, 320, 3), (768, 1024, 3))
    mask = read_image(photos / "photos/masks/7.png")
    assert np.unique(mask.reshape(-1, 3), axis=0).tolist() == sorted(COLOURS.tolist())


def test_the_second_command_prints_what_the_page_says(project):
    shown = block(PAGE, "$ python -m pipeline new-dataset")
    assert shown.commands == [commands()[1]]
    assert typed(shown.commands[0]).splitlines() == shown.printed
    assert shown.printed[-1] == f"next: {commands()[2]}"


def test_the_first_command_installs_as_the_readme_does():
    install, _, _ = commands()
    begin, _, rest = install.partition(" sync ")
    assert f"    {begin} run python -m pipeline run\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert rest == "-q --extra pretrained --extra networks && . .venv/bin/activate"


def write_coco(project):
    """Two images and one triangle, where the page's command looks for them."""
    (project / "images").mkdir()
    images = []
    for number in range(8):
        pixels = np.full((16, 16, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(project / f"images/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 16, "width": 16})
    triangles = [
        {"id": number, "image_id": number, "category_id": 5, "segmentation": [[0, 0, 12, 0, 0, 12]]}
        for number in range(8)
    ]
    content = {"images": images, "annotations": triangles, "categories": [{"id": 5, "name": "roof"}]}
    write_json(project / "instances.json", content)


def write_parquet(home, monkeypatch):
    import datasets

    datasets.disable_progress_bars()
    (home / "parquet").mkdir(exist_ok=True)
    for split in ("train", "test"):
        images = [np.full((16, 16, 3), 40 * number + len(split), np.uint8) for number in range(4)]
        columns = {
            "image": [Image.fromarray(image) for image in images],
            "label": [Image.fromarray(np.tri(16, dtype=np.uint8)) for _ in images],
        }
        features = datasets.Features(dict.fromkeys(columns, datasets.Image()))
        rows = datasets.Dataset.from_dict(columns, features=features)
        rows.to_parquet(str(home / f"parquet/{split}-0.parquet"))


@pytest.fixture
def elsewhere(project, photos, monkeypatch):
    """COCO's file and a dataset of Hugging Face, where the page's commands look for them."""
    write_coco(project)
    write_parquet(photos, monkeypatch)
    yield
    for name in ("photos_coco", "photos_hf"):
        shutil.rmtree(photos / name, ignore_errors=True)


@pytest.mark.parametrize("name", ["coco", "hf"])
def test_other_formats_are_converted_and_described(project, elsewhere, name):
    convert, look = block(PAGE, f"python -m pipeline convert-{name}").commands
    assert "wrote" in typed(convert)
    assert "doctor: no errors" in typed(look)
    assert read_yaml(project / f"configs/datasets/photos_{name}.yaml")["data"]["classes"] == 2


def wishes():
    """Every command of the page's table."""
    table = section(ROOT / PAGE, "What people ask for")
    cells = re.findall(r"^\| [^`]*\| `(.*)` \|$", table, re.MULTILINE)
    return [command for cell in cells for command in cell.split("`, `")]


def test_every_row_of_the_table_has_a_command():
    rows = re.findall(r"^\| (?!I want|---).*$", section(ROOT / PAGE, "What people ask for"), re.MULTILINE)
    assert len(rows) > 15
    assert len(wishes()) >= len(rows)


def test_every_command_of_the_table_does_what_it_says(elsewhere):
    typed_ones = [command for command in wishes() if command.startswith("python")]
    assert len(typed_ones) == 5
    assert all("wrote" in printed or "replaced" in printed for printed in map(typed, typed_ones))


@pytest.mark.slow  # some build networks of libraries whose import takes seconds
def test_every_experiment_of_the_table_is_accepted(project, monkeypatch):
    typed(commands()[1])
    monkeypatch.syspath_prepend(str(project))
    own = block("docs/networks.md", '"""A network').content
    (project / "my_networks.py").write_text(own, encoding="utf-8")
    write_segformer(project / "networks/segformer")
    experiments = [command for command in wishes() if command.startswith("dvc exp run")]
    assert len(experiments) > 10
    for command in experiments:
        accepted(project, command)


def accepted(project, command, check=check_tree):
    """Set the command's values with DVC's own code and check the tree; the files are restored afterwards."""
    files = to_path_overrides(overrides(command))
    before = {file: Path(file).read_bytes() for file in files}
    for sweep in get_hydra_sweeps(files):
        for file, values in sweep.items():
            apply_overrides(Path(file), values)
    try:
        tree, source = read_tree(project)
        return check(project, tree, source)
    finally:
        for file, content in before.items():
            Path(file).write_bytes(content)


def test_merged_classes_are_those_of_the_command(project):
    typed(commands()[1])
    [command] = [command for command in wishes() if "data.folder.classes" in command]
    folder = accepted(project, command, lambda _, tree, source: parse_params(tree, source)).data.folder
    assert [folder.values_of(name) for name in folder.classes] == [
        ((0, 0, 0),),
        ((30, 200, 30), (200, 30, 30)),
    ]


@pytest.mark.slow
def test_the_commands_make_a_report(photos, tmp_path, monkeypatch):
    """With tiny settings, and in this environment instead of the first command's."""
    project = make_project(tmp_path / "project")
    commit(project)
    monkeypatch.setenv("HOME", str(photos))
    _, look, train = commands()
    run(project, "bash", "-c", look)
    preset = project / "configs/datasets/photos.yaml"
    tiny = {
        "images": {"input_scale": 0.1, "crop": [32, 32]},
        "networks": {"teacher": {"width": 0.25}},
        "teacher": TINY,
        "train": TINY,
    }
    write_yaml(preset, merge(read_yaml(preset), tiny))
    change(project, tracking={"enabled": False})
    run(project, "bash", "-c", train)
    text = (project / "reports/photos/report.html").read_text(encoding="utf-8")
    assert all(name in text for name in ("class_0", "class_1", "class_2", "EfficientNet-Lite0", "U-Net"))
