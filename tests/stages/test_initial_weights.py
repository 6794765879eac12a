"""What networks start from: known before the first is trained, and an input like any other."""

import json

import pytest
import torch
from tests.project import change, make_project, outputs

from icsd.commands.repair import repair
from icsd.errors import UserError
from icsd.models.deeplab import build_network
from icsd.params import load_params
from icsd.runs import RunKey
from icsd.stages.grid import teacher_key
from icsd.stages.initial_weights import LINKS, source_of
from icsd.stages.provenance import provenance_of
from icsd.stages.training.run import train_student, train_teacher
from icsd.stages.validate import validate

STUDENT = RunKey("shapes", "kd", "resnet18", 0)
OF_STUDENTS = {f"students/{name}/resnet18.json" for name in ("none", "kd", "aicsd")}


def weights(path, *, name="resnet18", width=0.125, seed=0):
    """A file from which the backbone can start."""
    torch.manual_seed(seed)
    torch.save(build_network(name, num_classes=2, width=width).backbone.state_dict(), path)
    return str(path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = make_project(tmp_path / "project", tracking={"enabled": False})
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_ROOT", str(project))
    return project


def of_student(file):
    return {"students": {"resnet18": {"pretrained": file}}}


def validated(project):
    validate(project, show=False)
    return outputs(project / "data/shapes/validated")


def changed(before, after):
    return {name for name in before if before[name] != after[name]} - {"params.json"}


def test_a_network_starts_from_its_own_weights_or_from_those_of_all(project):
    change(project, networks={"pretrained": True, "teacher": {"pretrained": False}})
    params = load_params(project)
    assert source_of(params, teacher_key(params)) is False
    assert source_of(params, STUDENT) is True
    change(project, networks=of_student("w.pth"))
    assert source_of(load_params(project), STUDENT) == "w.pth"


def test_a_file_concerns_the_networks_that_start_from_it(project, tmp_path):
    before = validated(project)
    change(project, networks=of_student(weights(tmp_path / "w.pth")))
    first = validated(project)
    assert changed(before, first) == OF_STUDENTS
    weights(tmp_path / "w.pth", seed=1)
    assert changed(first, validated(project)) == OF_STUDENTS
    change(project, networks={"teacher": {"pretrained": weights(tmp_path / "t.pth", width=0.25)}})
    assert "teacher.json" in changed(first, validated(project))


def test_a_file_in_another_folder_is_the_same_file(project, tmp_path):
    change(project, networks=of_student(weights(tmp_path / "w.pth")))
    before = validated(project)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "w.pth").rename(tmp_path / "elsewhere/w.pth")
    change(project, networks=of_student(str(tmp_path / "elsewhere/w.pth")))
    assert changed(before, validated(project)) == set()


def test_dvc_watches_a_file_through_a_link_that_goes_when_it_is_no_longer_named(project, tmp_path):
    change(project, networks=of_student(weights(tmp_path / "w.pth")))
    validate(project, show=False)
    links = [path for path in (project / LINKS).iterdir() if path.is_symlink()]
    assert [link.resolve() for link in links] == [tmp_path / "w.pth"]
    (tmp_path / "w.pth").unlink()
    with pytest.raises(UserError, match="there is no file"):
        validate(project, show=False)
    assert not links[0].is_symlink()  # DVC ends with an error where a link leads nowhere


def test_a_link_that_a_user_lets_lead_to_another_file_is_another_file(project, tmp_path):
    weights(tmp_path / "1.pth"), weights(tmp_path / "2.pth", seed=1)
    latest = tmp_path / "latest.pth"
    latest.symlink_to(tmp_path / "1.pth")
    change(project, networks=of_student(str(latest)))
    validate(project, show=False)
    (watched,) = (path for path in (project / LINKS).iterdir() if path.is_symlink())
    latest.unlink()
    latest.symlink_to(tmp_path / "2.pth")
    assert watched.read_bytes() == (tmp_path / "2.pth").read_bytes()  # which is where DVC looks


@pytest.mark.parametrize("kept", [LINKS / "w.pth", "w.pth"])
def test_a_relative_path_is_one_from_the_root_also_in_an_experiments_copy(
    project, tmp_path, monkeypatch, kept
):
    weights(project / kept)
    change(project, networks=of_student(str(kept)))
    validate(project, show=False)
    copy = make_project(tmp_path / "copy", networks=of_student(str(kept)))
    (copy / kept).unlink(missing_ok=True)
    monkeypatch.chdir(copy)
    validate(copy, show=False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: str(folder), "is a folder; name the file in it"),
        (lambda folder: str(folder / "w.pth"), r"there is no file .*w\.pth"),
        (lambda folder: weights(folder / "m.pth", name="mobilenetv2"), "do not belong to resnet18"),
        (lambda folder: weights(folder / "wide.pth", width=0.25), "do not fit resnet18"),
        (lambda folder: "a\0b.pth", "there is no file"),
        (lambda folder: f"{'long' * 100}.pth", "."),
        (lambda folder: "", "is a folder"),
        (
            lambda folder: True,
            r"width 1 only.*Set the width to 1 or `networks\.students\.resnet18\.pretrained: false`",
        ),
    ],
)
def test_what_a_student_cannot_start_from_is_refused_before_the_teacher_is_trained(
    project, tmp_path, make, words
):
    change(project, networks=of_student(make(tmp_path)))
    with pytest.raises(UserError, match=rf"^networks\.students\.resnet18\.pretrained: .*{words}"):
        validate(project, show=False)
    assert not (project / "data/shapes/validated").exists()


def test_all_that_is_wrong_is_said_at_once(project, tmp_path):
    change(project, networks={"teacher": {"pretrained": "t.pth"}, **of_student("s.pth")})
    with pytest.raises(UserError) as caught:
        validate(project, show=False)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        *("networks.teacher.pretrained", "networks.students.resnet18.pretrained")
    ]


def test_training_starts_from_the_file_and_says_so(prepared_project, tmp_path):
    project, file = prepared_project, tmp_path / "w.pth"
    change(
        project, train={"epochs": 1, "lr": 1e-9}, teacher={"epochs": 1}, networks=of_student(weights(file))
    )
    train_teacher(project)
    train_student(project, method="none", student="resnet18", seed=0)
    described = json.loads((project / "runs/shapes/none/resnet18-0/train.json").read_text(encoding="utf-8"))
    assert described["pretrained"] == "w.pth"  # its folder differs from machine to machine
    assert (
        described["provenance"]["pretrained"]
        == provenance_of(project, load_params(project), STUDENT).pretrained
    )
    of_teacher = json.loads((project / "runs/shapes/teacher/train.json").read_text(encoding="utf-8"))
    assert of_teacher["pretrained"] is False
    assert of_teacher["provenance"]["pretrained"] is None
    from safetensors.torch import load_file

    trained = load_file(project / "runs/shapes/none/resnet18-0/student.safetensors")["backbone.conv1.weight"]
    assert torch.allclose(trained, torch.load(file, weights_only=True)["conv1.weight"], atol=1e-6)


def test_repair_names_the_key_whose_file_is_gone_and_removes_the_link(project, tmp_path):
    change(project, networks={"pretrained": weights(tmp_path / "w.pth"), "teacher": {"pretrained": False}})
    validate(project, show=False)
    (tmp_path / "w.pth").unlink()
    with pytest.raises(UserError, match=r"^networks\.pretrained: there is no file .*w\.pth; bring"):
        repair(project)
    assert not any(path.is_symlink() for path in (project / LINKS).iterdir())


def test_repair_removes_a_link_that_nothing_names_any_more(project, tmp_path):
    change(project, networks=of_student(weights(tmp_path / "w.pth")))
    validate(project, show=False)
    (tmp_path / "w.pth").unlink()
    change(project, networks=of_student(False))
    assert repair(project)[2:] == [f"{LINKS}: removed the link to {tmp_path / 'w.pth'}, which is gone"]
    assert repair(project)[2:] == []
