"""Networks of libraries and of one's own in params.yaml: what they are made from, and what they can do."""

import json
import shutil

import pytest
import torch
from tests.libraries import OWN, write_own, write_segformer
from tests.project import change, make_project, outputs

from icsd.errors import UserError
from icsd.params import load_params
from icsd.runs import RunKey
from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher
from icsd.stages.grid import teacher_key
from icsd.stages.initial_weights import LINKS
from icsd.stages.networks import description_of
from icsd.stages.own_modules import files_of_module, source_file
from icsd.stages.provenance import provenance_of
from icsd.stages.training.run import train_student, train_teacher
from icsd.stages.validate import validate

MINE = {"architecture": "python:own_networks:Mine"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = make_project(tmp_path / "project", tracking={"enabled": False})
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_ROOT", str(project))
    write_own(project, monkeypatch)
    return project


def with_student(project, block, *, students=("resnet18", "mine"), **changes):
    change(project, grid={"students": list(students)}, networks={"students": {"mine": block}}, **changes)


def validated(project):
    validate(project, show=False)
    return outputs(project / "data/shapes/validated")


def changed(before, after):
    return {name for name in before if before[name] != after[name]} - {"params.json"}


OF_MINE = {f"students/{method}/mine.json" for method in ("none", "kd", "aicsd")}


def test_editing_a_students_block_makes_its_own_runs_stale(project):
    with_student(project, {"architecture": "smp:fpn/tu-test_resnet"})
    before = validated(project)
    with_student(project, {"architecture": "smp:unet/tu-test_resnet"})
    second = validated(project)
    assert changed(before, second) == OF_MINE
    with_student(project, {"normalisation": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}})
    third = validated(project)
    assert changed(second, third) == OF_MINE
    change(project, networks={"dropout": 0.3, "output_stride": 8})
    assert not changed(third, validated(project)) & OF_MINE  # which are settings of DeepLabV3+


def test_saying_what_a_student_is_anyway_makes_nothing_stale(project):
    before = validated(project)
    change(
        project,
        networks={
            "students": {
                "resnet18": {"architecture": "deeplabv3plus", "backbone": "resnet18", "output_stride": 16}
            }
        },
    )
    assert changed(before, validated(project)) == set()


def test_editing_a_class_makes_its_own_runs_stale(project):
    with_student(project, MINE)
    before = validated(project)
    assert {path.resolve() for path in (project / LINKS).iterdir() if path.is_symlink()} == {
        project / "own_networks.py"
    }
    (project / "own_networks.py").write_text(OWN + "\n# another class\n", encoding="utf-8")
    assert changed(before, validated(project)) == OF_MINE


def test_a_folder_of_transformers_is_an_input_of_its_network(project, tmp_path):
    with_student(project, {"architecture": write_segformer(tmp_path / "tiny")})
    before = validated(project)
    shutil.move(tmp_path / "tiny", tmp_path / "elsewhere/tiny")
    with_student(project, {"architecture": f"hf:{tmp_path}/elsewhere/tiny"})
    moved = validated(project)
    assert changed(before, moved) == set()
    config = tmp_path / "elsewhere/tiny/config.json"
    config.write_text(config.read_text().replace('"decoder_hidden_size": 16', '"decoder_hidden_size": 24'))
    assert changed(moved, validated(project)) == OF_MINE


def test_a_module_is_found_without_running_it(project):
    assert source_file(project, "own_networks") == project / "own_networks.py"
    assert source_file(project, "json.decoder").name == "decoder.py"
    assert source_file(project, "nowhere.at_all") is None


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            {},
            r"students\.mine: its name is not a backbone.*Allowed: resnet18.*timm:<name>.*architecture",
        ),
        ({"backbone": "resnet19"}, r"mine\.backbone: is not a backbone; did you mean 'resnet18'"),
        (
            {"architecture": "unet"},
            r"mine\.architecture: is not an architecture.*smp:<arch",
        ),
        (
            {"architecture": "smp:unet"},
            r"mine\.architecture: is not of the form smp:<arch",
        ),
        ({"architecture": "smp:unet/resnet19"}, r"students\.mine: smp:unet/resnet19: there is no encoder"),
        ({"backbone": "timm:resnot"}, r"timm:resnot: timm .* has no such network"),
        ({**MINE, "output_stride": 8}, r"mine\.output_stride: python:.* has no such setting"),
        ({"backbone": "resnet18", "taps": {"decoder": "x"}}, r"mine\.taps: DeepLabV3\+ has every tap"),
        ({**MINE, "taps": {"decoder": "x"}}, r"students\.mine: taps\.decoder: there is no module 'x'"),
        ({**MINE, "taps": {"logits": "head"}}, r"mine\.taps\.logits"),
        ({**MINE, "pretrained": True}, r"students\.mine: python:.*nobody knows its ImageNet weights"),
        ({"architecture": "python:own_networks:Nobody"}, r"own_networks has no Nobody"),
        (
            {"backbone": "resnet18", "normalisation": {"mean": [0.5], "std": [1, 1, 1]}},
            r"normalisation\.mean",
        ),
    ],
)
def test_a_network_that_cannot_be_is_refused_before_any_work(project, block, words):
    with_student(project, block)
    with pytest.raises(UserError, match=words):
        validate(project, show=False)


def test_a_student_of_the_grid_without_a_block_is_named(project):
    change(project, grid={"students": ["nobody"]})
    with pytest.raises(UserError, match=r"grid\.students: there is no block networks\.students\.nobody"):
        validate(project, show=False)


def test_a_method_that_reads_a_tap_which_a_network_lacks_is_refused(project):
    with_student(project, MINE)
    change(project, grid={"baselines": ["none", "kd", "at", "cwd_features"]})
    with pytest.raises(UserError) as caught:
        validate(project, show=False)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["methods.at", "methods.cwd_features"]
    assert "reads decoder, which networks.students.mine (python:own_networks:Mine) does not have" in lines[0]
    assert "it has logits" in lines[0]
    with_student(project, {"taps": {"decoder": "encoder"}})
    validate(project, show=False)


def test_what_a_network_is_follows_from_its_block(project):
    with_student(project, {"backbone": "timm:test_resnet", "output_stride": 32, "width": 0.125})
    described = description_of(load_params(project), RunKey("shapes", "kd", "mine", 0))
    assert described == {
        **{"name": "deeplabv3plus", "backbone": "timm:test_resnet", "num_classes": 9, "width": 0.125},
        **{"head_width": None, "output_stride": 32, "normalisation": None, "taps": None},
    }
    change(project, networks={"teacher": {"architecture": "hf:/some/where/big"}})
    assert teacher_key(load_params(project)).network == "hf:big"


def test_a_transformer_in_a_folder_teaches_a_class_of_ones_own(prepared_project, tmp_path, monkeypatch):
    project = prepared_project
    write_own(project, monkeypatch)
    teacher = {"architecture": write_segformer(tmp_path / "tiny"), "pretrained": True}
    with_student(
        project,
        {**MINE, "taps": {"stage3": "encoder"}},
        students=("mine",),
        **{"train": {"epochs": 1}, "teacher": {"epochs": 1, "optimizer": "adamw", "lr": 0.001}},
    )
    change(project, networks={"teacher": teacher})
    validate(project, show=False)
    train_teacher(project)
    train_student(project, method="aicsd", student="mine", seed=0)
    evaluate_teacher(project)
    change(project, grid={"baselines": [], "distilled": ["aicsd"]})
    evaluate_students(project, method="aicsd")
    described = json.loads((project / "runs/shapes/aicsd/mine-0/train.json").read_text(encoding="utf-8"))
    assert described["network"] == {
        **{"architecture": "python:own_networks:Mine", "backbone": "python:own_networks:Mine"},
        **{"width": 1.0, "head_width": None, "output_stride": None},
    }
    assert "own_networks.py" in described["provenance"]["code"]
    of_teacher = json.loads((project / "runs/shapes/teacher/train.json").read_text(encoding="utf-8"))
    assert of_teacher["network"]["architecture"] == "hf:tiny"
    assert "hf:tiny/model.safetensors" in of_teacher["provenance"]["code"]
    params, key = load_params(project), RunKey("shapes", "aicsd", "mine", 0)
    assert described["provenance"] == json.loads(provenance_of(project, params, key).model_dump_json())
    metrics = json.loads((project / "results/shapes/aicsd/mine-0/metrics.json").read_text(encoding="utf-8"))
    assert metrics["parameters"] > 0 < metrics["flops"]
    assert metrics["agreement"]["kl"] > 0
    assert torch.tensor(metrics["miou"]).isfinite()


def test_what_a_network_of_ones_own_imports_from_the_repository_is_a_part_of_it(tmp_path):
    files = {
        "nets/__init__.py": "from . import blocks",
        "nets/blocks.py": "import torch, os.path\nfrom .more.parts import Part\nfrom ..outside import no",
        "nets/more/parts.py": "def build():\n    from helpers import help\n    from nets import heads",
        "nets/heads.py": "this is no Python",
        "nets/unrelated.py": "",
        "helpers.py": "import nets.model, json",
        "nets/model.py": "from nets.blocks import Block",
        "json.txt": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    found = files_of_module(tmp_path, "nets.model")
    assert list(found) == [*("helpers", "nets", "nets.blocks", "nets.heads", "nets.model", "nets.more.parts")]
    assert found["nets"] == tmp_path / "nets/__init__.py"
    assert list(files_of_module(tmp_path, "json.decoder")) == ["json.decoder"]  # installed
    assert files_of_module(tmp_path, "nowhere") == {}


def test_editing_a_file_that_an_own_network_imports_makes_its_runs_stale(project):
    own = project / "own_networks.py"
    (project / "own_layers.py").write_text("WIDTH = 8\n")
    own.write_text(f"{own.read_text()}\nimport own_layers\n")
    with_student(project, MINE)
    before = validated(project)
    (project / "own_layers.py").write_text("WIDTH = 16\n")
    assert changed(before, validated(project)) == OF_MINE
    linked = {link.resolve().name for link in (project / LINKS).iterdir() if link.is_symlink()}
    assert linked == {"own_networks.py", "own_layers.py"}
