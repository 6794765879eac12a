"""A network's identity, which decides whether it may resume."""

import pytest
from tests.imports import ROOT

from icsd.params import load_params
from icsd.records import Provenance
from icsd.runs import RunKey
from icsd.stages.training.job import identity_of, student_job, teacher_job

PROVENANCE = Provenance(
    code={"icsd/core/seeds.py": "0" * 64}, data="1" * 64, teacher="2" * 64, pretrained=None
)


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT)


def changed(params, block, **values):
    return params.model_copy(update={block: getattr(params, block).model_copy(update=values)})


def student(params, method="aicsd"):
    return student_job(params, RunKey("shapes", method, "resnet18", 0))


def identity(params, method="aicsd", provenance=PROVENANCE):
    return identity_of(student(params, method), provenance)


@pytest.mark.parametrize(
    ("block", "values"),
    [
        ("monitor", {"health_steps": 7, "similarity_every": 3, "similarity_images": 2}),
        ("tracking", {"enabled": False}),
        ("report", {"seed": 5}),
        ("evaluation", {"panels": 1}),
        ("runtime", {"workers": 3, "compile": True}),
        ("runtime", {"mode": "fast"}),  # its values stand in the other keys
        ("teacher", {"lr": 0.5}),
    ],
)
def test_what_cannot_change_a_student_does_not_change_its_identity(params, block, values):
    assert identity(changed(params, block, **values)) == identity(params)


@pytest.mark.parametrize(
    ("block", "values"),
    [
        ("train", {"lr": 0.5}),
        ("images", {"flip": 0.25}),
        ("alw", {"decay": "cosine"}),
        ("networks", {"output_stride": 8}),
        ("runtime", {"precision": "bf16-mixed"}),
        ("runtime", {"threads": 2}),
        ("runtime", {"fold_teacher": True}),
        ("runtime", {"fused_optimizer": True}),
    ],
)
def test_what_can_change_a_student_changes_its_identity(params, block, values):
    assert identity(changed(params, block, **values)) != identity(params)


@pytest.mark.parametrize("field", ["data", "teacher", "pretrained"])
def test_other_data_or_weights_to_start_from_are_another_identity(params, field):
    assert identity(params, provenance=PROVENANCE.model_copy(update={field: "3" * 64})) != identity(params)


def test_other_code_is_another_identity(params):
    code = {"icsd/core/seeds.py": "4" * 64}
    assert identity(params, provenance=PROVENANCE.model_copy(update={"code": code})) != identity(params)


def test_a_student_without_alw_does_not_depend_on_its_block(params):
    assert student(params, "kd").alw is None
    assert identity(changed(params, "alw", decay="cosine"), "kd") == identity(params, "kd")


def test_the_teacher_has_its_own_training_and_neither_method_nor_alw(params):
    job = teacher_job(params)
    assert job.training == params.teacher
    assert job.alw is None
    assert not {"method", "alw"} & set(job.numbers)
    assert job.numbers["seed"] == params.teacher.seed
