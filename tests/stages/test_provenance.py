"""The digests of what a run was made of."""

import pytest
from tests.imports import ROOT, SOURCE
from tests.project import make_project

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.runs import RunKey
from icsd.stages.code import code_of_method
from icsd.stages.grid import teacher_key
from icsd.stages.provenance import code_of, provenance_of
from icsd.stages.validate import checked_params
from icsd.yaml_files import read_yaml

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    return checked_params(make_project(tmp_path_factory.mktemp("provenance") / "project"))


def student(method):
    return RunKey("shapes", method, "resnet18", 0)


def test_a_method_brings_its_own_files_and_no_other_methods(params):
    alone, kd, aicsd = (set(code_of(params, student(name))) for name in ("none", "kd", "aicsd"))
    assert "icsd/methods/none.py" in alone
    similarity = {"icsd/core/similarity.py", "icsd/core/chunked_similarity.py"}
    assert kd - alone == {"icsd/methods/kd.py", "icsd/methods/base.py"} | similarity
    assert "icsd/methods/icsd.py" in aicsd - kd


def test_a_digest_is_that_of_the_file(params):
    code = code_of(params, student("kd"))
    assert code["icsd/training/loop.py"] == sha256_of(SOURCE / "icsd/training/loop.py")
    assert list(code) == sorted(code)


@pytest.mark.parametrize(
    ("stage", "method"), [("train_teacher", "teacher"), ("baselines", "kd"), ("distill", "aicsd")]
)
def test_the_files_are_those_on_which_the_stage_depends(params, stage, method):
    """So ``verify`` never reports code that leaves the stage up to date."""
    key = teacher_key(params) if method == "teacher" else student(method)
    block = None if method == "teacher" else params.methods[method].block
    own = set(code_of_method(method, block)) if block else set()  # through the output of `validate`
    listed = [dep.removeprefix("src/") for dep in STAGES[stage]["deps"] if dep.startswith("src/")]
    code = set(code_of(params, key))
    assert {path for path in code if not path.startswith(tuple(f"{dep}/" for dep in listed))} <= own
    assert all(any(path.startswith(f"{dep}/") for path in code) for dep in listed)


def test_a_student_needs_its_teacher(params, tmp_path):
    with pytest.raises(UserError, match="there is no teacher yet"):
        provenance_of(tmp_path, params, student("kd"))
