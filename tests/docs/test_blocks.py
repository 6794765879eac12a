"""Every code block of the documentation is run, checked by the schema, or compared with what the code prints.

What needs processes is in ``test_transcripts.py``.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from tests.docs.blocks import block, code_blocks, experiments, overrides
from tests.imports import ROOT
from tests.libraries import write_segformer

from icsd.commands.experiments.reading import Experiment
from icsd.commands.experiments.table import to_text
from icsd.commands.pace.run import pace_line
from icsd.commands.tune.run import _summary
from icsd.errors import UserError
from icsd.methods import METHODS
from icsd.params import merge
from icsd.params.reading import read_tree
from icsd.stages.networks import networks_of_grid
from icsd.stages.paces import Pace, pace_path
from icsd.stages.tuned_weights import Search
from icsd.stages.validate import check_tree
from icsd.yaml_files import parse_yaml, read_yaml

NETWORKS = ("tiny_convnext", "unet", "segformer", "lraspp", "mine")
"""The students of docs/networks.md."""
DEPLOYED = (
    "predict",
    "export runs/shapes/kd/resnet18-0 --to onnx",
    "export runs/shapes/kd/resnet18-0 --to int8",
    "evaluate-file",
)
"""What docs/deploy.md types."""
TRIED = {
    ("CONTRIBUTING.md", "pipeline"): "tests/docs/test_contributing.py",
    ("CONTRIBUTING.md", "params.yaml"): "here",
    ("docs/cluster.md", "dvc remote"): "here",
    ("docs/cluster.md", "ray start"): "here",
    ("docs/cluster.md", "cluster:"): "here",
    ("docs/cluster.md", "python -m pipeline run"): "tests/docs/test_commands.py",
    ("docs/datasets.md", "data:"): "tests/stages/test_dataset.py",
    ("docs/datasets.md", "dvc exp run"): "here",
    **{
        ("docs/deploy.md", f"$ python -m pipeline {start}"): "tests/docs/test_deploy.py" for start in DEPLOYED
    },
    ("docs/deploy.md", "$ python -m pipeline export models:"): "tests/docs/test_deploy.py",
    ("docs/deploy.md", "import json"): "tests/docs/test_deploy.py",
    ("docs/deploy.md", "$ python -m pipeline bench"): "tests/docs/test_deploy.py",
    ("docs/deploy.md", "mlflow models serve --model-uri models:"): "tests/docs/test_serving.py",
    ("docs/deploy.md", "python -m pipeline export"): "tests/docs/test_serving.py",
    ("docs/deploy.md", '"""A folder'): "tests/docs/test_serving.py",
    ("docs/deploy.md", "mlflow models serve --model-uri served"): "tests/docs/test_serving.py",
    ("docs/deploy.md", '"""Send an image'): "tests/docs/test_serving.py",
    ("docs/deploy.md", "docker build"): "tests/docs/test_serving.py",
    ("docs/experiments.md", "$ dvc exp run -n"): "tests/docs/test_transcripts.py",
    ("docs/experiments.md", "$ dvc exp run -S"): "tests/docs/test_transcripts.py",
    ("docs/experiments.md", "git restore"): "tests/docs/test_transcripts.py",
    ("docs/experiments.md", "$ dvc exp run --queue"): "tests/pipeline/test_experiments.py",
    ("docs/experiments.md", "$ python -m pipeline experiments"): "here",
    ("docs/experiments.md", "dvc exp run"): "here",
    ("docs/extending.md", '"""Regression'): "tests/docs/test_examples.py",
    ("docs/extending.md", "methods:\n  mimic"): "here",
    ("docs/extending.md", "methods:\n  cwd"): "here",
    ("docs/findings.md", "dvc exp run -S 'grid"): "here",
    ("docs/findings.md", "dvc exp run -S train"): "here",
    ("docs/findings.md", "cp reports/findings/equal_time"): "here",
    ("docs/findings.md", "cp reports/findings/camvid_half_equal_time"): "here",
    ("docs/methods.md", "dvc exp run"): "here",
    ("docs/mlflow.md", "mlflow ui"): "tests/docs/test_transcripts.py",
    ("docs/mlflow.md", "sudo"): "tests/docs/test_transcripts.py",
    ("docs/mlflow.md", "export"): "tests/docs/test_transcripts.py",
    ("docs/models.md", "import mlflow"): "tests/docs/test_transcripts.py",
    **{("docs/networks.md", f"networks:\n  students:\n    {name}:"): "here" for name in NETWORKS},
    ("docs/networks.md", '"""A network'): "here",
    ("docs/own_data.md", "photos/images"): "tests/docs/test_own_data.py",
    ("docs/own_data.md", "python3 -m venv"): "tests/docs/test_own_data.py",
    ("docs/own_data.md", "$ python -m pipeline new-dataset"): "tests/docs/test_own_data.py",
    ("docs/own_data.md", "python -m pipeline convert-coco"): "tests/docs/test_own_data.py",
    ("docs/own_data.md", "python -m pipeline convert-hf"): "tests/docs/test_own_data.py",
    ("docs/own_teacher.md", "networks:"): "here",
    ("docs/running.md", "params.yaml"): "here",
    ("docs/running.md", "$ python -m pipeline verify"): "tests/docs/test_transcripts.py",
    ("docs/running.md", "dvc repro train_teacher"): "tests/pipeline/test_tune.py",
    ("docs/running.md", "kd: factor"): "here",
    ("docs/running.md", "dvc exp run -S dataset=camvid"): "here",
    ("docs/running.md", "kd · resnet18"): "here",
    ("docs/running.md", "dvc remote add"): "tests/docs/test_transcripts.py",
    ("docs/running.md", "dvc config"): "tests/docs/test_transcripts.py",
    ("docs/worth.md", "python -m pipeline worth"): "tests/pipeline/test_worth.py",
    ("docs/worth.md", "$ python -m pipeline worth"): "tests/commands/worth/test_page.py",
}
"""Page and beginning of every block -> where it is tried."""


def test_every_block_is_tried_somewhere():
    for page, beginning in TRIED:
        block(page, beginning)
    untried = [
        f"{each.page}: {each.lines[0]}"
        for each in code_blocks()
        if not any(each.page == page and each.content.startswith(start) for page, start in TRIED)
    ]
    assert not untried


def test_every_block_for_a_shell_is_one():
    blocks = [
        each
        for each in code_blocks()
        if each.language == "" and ("dvc " in each.content or "mlflow " in each.content)
    ]
    program = "\n".join(command for each in blocks for command in each.commands)
    done = subprocess.run(["bash", "-n"], input=program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", experiments())
def test_an_experiment_of_the_documentation_is_accepted(command, checkout):
    """By DVC, whose code sets the values, and by validate; or it is refused as the documentation says."""
    files: dict[str, list[str]] = {}
    for override in overrides(command):
        file, _, rest = override.rpartition(":")
        files.setdefault(file or "params.yaml", []).append(rest)
    for sweep in get_hydra_sweeps(files):
        for file, values in sweep.items():
            shutil.copy(ROOT / file, checkout / file)
            apply_overrides(checkout / file, values)
        tree, source = read_tree(checkout)
        written = files.get("params.yaml", [])
        if "cosin" in [value.partition("=")[2] for value in written]:
            with pytest.raises(UserError) as caught:
                check_tree(checkout, tree, source)
            shown = block("docs/experiments.md", "$ dvc exp run -S").printed[1:]
            assert f"error: {caught.value}".splitlines() == shown
        elif "train.budget=seconds" in written:
            grid = tree["grid"]
            taught = [method for method in (*grid["baselines"], *grid["distilled"]) if method != "none"]
            with pytest.raises(UserError, match=rf"was not measured with {', '.join(taught)}\b"):
                check_tree(checkout, tree, source)
        elif "weights=tuned" in written:
            with pytest.raises(UserError, match="not tuned yet"):
                check_tree(checkout, tree, source)
        else:
            check_tree(checkout, tree, source)


@pytest.mark.parametrize("folder", ["equal_time", "camvid_half_equal_time"])
def test_the_paces_of_a_finding_are_accepted(folder, checkout):
    """So they are of the networks, images and methods that the parameters have today."""
    copy, command = block("docs/findings.md", f"cp reports/findings/{folder}").commands
    _, source, target = shlex.split(copy)
    shutil.copy(ROOT / source, checkout / target)
    apply_overrides(checkout / "params.yaml", overrides(command))
    params = check_tree(checkout, *read_tree(checkout))
    assert params.train.budget == "seconds"


def test_a_block_of_parameters_is_accepted(checkout, monkeypatch):
    monkeypatch.setitem(METHODS, "mimic", METHODS["kd"])
    monkeypatch.setattr(METHODS["kd"], "terms", ("kd", "mimic"))
    blocks = [each for each in code_blocks() if each.content.startswith("methods:")]
    assert len(blocks) == 2
    for each in blocks:
        written = parse_yaml(each.content.encode(), Path(each.page))
        method = next(iter(written["methods"]))
        if method == "mimic":
            written["methods"]["mimic"]["weights"]["kd"] = 1.0  # of the stand-in
        tree, source = read_tree(checkout)
        tree = merge(tree, {**written, "grid": {"baselines": ["none", method]}})
        tree["methods"] = {name: tree["methods"][name] for name in ("none", "aicsd", method)}
        if method == "cwd_features":
            monkeypatch.undo()
        check_tree(checkout, tree, source)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_the_documentation_is_accepted(name, checkout, monkeypatch):
    (checkout / "my_networks.py").write_text(block("docs/networks.md", '"""A network').content)
    monkeypatch.syspath_prepend(str(checkout))
    write_segformer(checkout / "networks/segformer")
    described = block("docs/networks.md", f"networks:\n  students:\n    {name}:")
    written = parse_yaml(described.content.encode(), Path(described.page))
    tree, source = read_tree(checkout)
    params = check_tree(checkout, merge(tree, {**written, "grid": {"students": [name]}}), source)
    assert list(networks_of_grid(params)) == ["teacher", name]


def test_a_folder_of_transformers_is_accepted_as_the_teacher(checkout):
    write_segformer(checkout / "networks/segformer")
    described = block("docs/own_teacher.md", "networks:")
    tree, source = read_tree(checkout)
    params = check_tree(checkout, merge(tree, parse_yaml(described.content.encode(), Path("block"))), source)
    assert not params.teacher.train
    assert params.networks.teacher.weights is None


def test_the_commands_of_a_cluster_are_accepted(monkeypatch):
    """By DVC and by Ray, whose own command lines read them, but for what they would do."""
    from dvc.cli import parse_args

    remote, export, sync = block("docs/cluster.md", "dvc remote").commands
    assert parse_args(shlex.split(remote)[1:]).name == "store"
    assert export.startswith("export MLFLOW_TRACKING_URI=http")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"--extra (\w+)", sync)) == {"ray", "slurm"} <= extras.keys()
    head, worker, _ = block("docs/cluster.md", "ray start").commands
    accepted = ray_start(head), ray_start(worker)
    assert accepted[0]["head"]
    assert accepted[0]["port"] == 6379
    assert accepted[1]["address"] == "driver.example:6379"


def ray_start(command):
    """The options of ``ray start``, read by Ray in a process of its own."""
    words = shlex.split(command)[2:]
    program = (
        "import json, sys; from ray.scripts.scripts import start; "
        "print(json.dumps(start.make_context('start', sys.argv[1:]).params, default=str))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_cluster_is_described_so(checkout, tmp_path):
    """To the schema, and to submitit, which writes a file for sbatch."""
    from submitit.slurm.slurm import _get_default_parameters

    described = block("docs/cluster.md", "cluster:")
    tree, source = read_tree(checkout)
    params = check_tree(checkout, merge(tree, parse_yaml(described.content.encode(), Path("block"))), source)
    assert params.cluster.slurm.keys() <= _get_default_parameters().keys()


def test_the_table_of_experiments_is_printed_so():
    shown = block("docs/experiments.md", "$ python -m pipeline experiments")
    header, _, *rows = shown.printed[: shown.printed.index("")]
    assert header.split()[:5] == ["Experiment", "State", "Changed", "Dataset", "Teacher"]
    experiments = []
    for row in rows:
        name, state, changed, dataset, teacher, *cells = re.split(r"  +", row.replace("−", "-"))
        scores = dict(zip(("none", "aicsd"), map(numbers, cells), strict=True))
        key, _, value = changed.partition("=")
        metrics = {"dataset": dataset, "teacher": {"miou": float(teacher) / 100}, "resnet18": scores}
        was = {key: value.strip('"')} if value else {}
        experiments.append(Experiment(name, state, was, metrics, None, base="main"))
    assert to_text(experiments, None).splitlines() == shown.printed


def numbers(cell):
    """The numbers of a cell, as fractions."""
    found = [float(number) / 100 for number in re.findall(r"[+-]?\d+\.\d+", cell)]
    return dict(zip(("miou", "std", "delta", "low", "high"), found, strict=False))


SUMMARY = (
    r"(\w+): factor ([\d.]+) of (\d) trials, "
    r"val mIoU ([\d.]+) \(its own weights ([\d.]+), student alone ([\d.]+)\)"
)


def test_the_lines_of_tuning_are_printed_so():
    for line in block("docs/running.md", "kd: factor").lines:
        method, factor, trials, *values = re.fullmatch(SUMMARY, line).groups()
        miou, untuned, alone = (float(value) / 100 for value in values)
        search = Search.model_construct(
            factor=float(factor), trials=int(trials), miou=miou, miou_untuned=untuned, miou_alone=alone
        )
        assert _summary(method, search) == line


PACE = (
    r"(\w+) · (\w+): ([\d.]+) times the student alone \(([\d.]+) ms a step against ([\d.]+)\): "
    r"\d+ epochs take as long as its (\d+)"
)


def test_the_lines_of_paces_are_printed_so():
    *lines, last = block("docs/running.md", "kd · resnet18").lines
    for line in lines:
        method, student, *values, epochs = re.fullmatch(PACE, line).groups()
        pace, own, alone = map(float, values)
        found = Pace.model_construct(pace=pace, milliseconds=own, milliseconds_alone=alone)
        assert pace_line(method, student, found, epochs=int(epochs)) == line
    assert last == pace_path("shapes").as_posix()


def test_the_graph_has_the_stages_of_dvc_yaml():
    drawn = block("docs/running.md", "params.yaml").content
    stages = set(read_yaml(ROOT / "dvc.yaml")["stages"])
    assert {word for word in re.findall(r"\b[a-z_]+\b", drawn) if word in stages} == stages


def test_the_map_of_the_tree_names_what_there_is():
    inside, named = "", []
    for line in block("CONTRIBUTING.md", "params.yaml").lines:
        words = re.split(r" {2,}", line.strip())[0].replace(",", " ").split()
        inside = inside if line.startswith("  ") else ""
        named += [inside + word for word in words]
        inside = inside or (words[0] if words == ["src/icsd/"] else "")
    assert len(named) > 15
    assert not [path for path in named if not (ROOT / path).exists()]
