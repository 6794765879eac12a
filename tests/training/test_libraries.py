"""One real training step of a network of every kind, with every method that can run on it."""

import pytest
import torch
from tests.imports import ROOT
from tests.libraries import CLASSES, of_library, of_timm, write_own, write_segformer

from icsd.methods import METHODS, build_method, taps_of
from icsd.models.contract import Architecture
from icsd.models.names import TAPS
from icsd.models.networks import new_network
from icsd.training.distiller import Distiller
from icsd.training.optim import build_optimizer
from icsd.yaml_files import read_yaml

pytestmark = pytest.mark.usefixtures("one_thread")
BLOCKS = read_yaml(ROOT / "params.yaml")["methods"]
KINDS = {
    "timm": of_timm("test_resnet"),
    "smp": of_library("smp:unet/tu-test_resnet"),
    "smp with a pyramid": of_library("smp:deeplabv3plus/tu-test_resnet", output_stride=16),
    "torchvision": of_library("torchvision:lraspp_mobilenet_v3_large"),
    "hf": of_library("hf"),
    "python": of_library("python:own_networks:Mine", taps={"stage4": "encoder", "decoder": "encoder.2"}),
}
OURS = Architecture(backbone="resnet18", num_classes=CLASSES, width=0.125)
RUN = {"timm": 17, "smp": 9, "smp with a pyramid": 17, "torchvision": 8, "hf": 8, "python": 9}
"""How many of the methods can run on each kind: the others read a tap that it lacks."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Every kind of network, built once."""
    folder = tmp_path_factory.mktemp("libraries")
    with pytest.MonkeyPatch.context() as patch:
        write_own(folder, patch)
        places = {"hf": of_library(write_segformer(folder / "tiny"))}
        torch.manual_seed(0)
        yield {name: new_network(places.get(name, architecture)) for name, architecture in KINDS.items()}


def methods_for(student, teacher):
    """Name -> method of every file whose taps both networks have."""
    both = student.channels.keys() & teacher.channels.keys()
    for name in METHODS:
        if name != "none" and set(taps_of(name, BLOCKS[name], known=TAPS)) <= both:
            method = build_method(
                name,
                BLOCKS[name],
                student_channels=student.channels,
                teacher_channels=teacher.channels,
                num_classes=CLASSES,
            )
            yield name, method


def step(student, teacher, method):
    """A step of training, and how far it moved the student's first weights."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    labels = torch.randint(0, CLASSES, (2, 64, 64), generator=generator)
    distiller = Distiller(student, teacher=teacher, method=method)
    distiller.train()
    optimizer = build_optimizer(
        student,
        method,
        name="adamw",
        lr=1e-3,
        head_lr_factor=1.0,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
    )
    before = [p.detach().clone() for p in student.parameters()]
    terms = distiller(images, labels)
    assert all(value.isfinite() for value in terms.values())
    sum(terms.values()).backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in student.parameters())
    return sum(not torch.equal(old, new) for old, new in zip(before, student.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_takes_a_step_with_every_method_that_can_run_on_it(kind, built):
    teacher, student = new_network(OURS), built[kind]
    ran = []
    for name, method in methods_for(student, teacher):
        moved = step(student, teacher, method)
        assert moved > len(list(student.parameters())) / 2, name
        ran.append(name)
    assert {"kd", "icsd", "aicsd", "cwd", "dist", "csd", "ickd"} <= set(ran)
    assert len(ran) == RUN[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_of_any_kind_teaches_a_student_of_ours(kind, built):
    student, teacher = new_network(OURS), built[kind]
    for name, method in methods_for(student, teacher):
        if name in {"icsd", "fitnet", "mgd", "at", "sp"}:
            assert step(student, teacher, method) > 0, name
    assert not any(p.requires_grad for p in teacher.parameters())
    teacher.requires_grad_(True)


def test_a_transformer_teaches_a_network_of_ones_own(built):
    for name, method in methods_for(built["python"], built["hf"]):
        assert step(built["python"], built["hf"], method) > 0, name
    built["hf"].requires_grad_(True)
