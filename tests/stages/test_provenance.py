"""The digests of what a run was made of."""

import pytest
from tests.imports import ROOT, SOURCE
from tests.project import make_project

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.params import read_yaml
from icsd.runs import RunKey
from icsd.stages.grid import teacher_key
from icsd.stages.provenance import code_of, origin_of
from icsd.stages.validate import checked_params

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    return checked_params(make_project(tmp_path_factory.mktemp("origin") / "project"))


def student(method):
    return RunKey("shapes", method, "resnet18", 0)


def test_a_method_brings_its_own_files_and_no_other_methods(params):
    loop, kd, aicsd = (set(code_of(params, student(name))) for name in ("none", "kd", "aicsd"))
    assert kd - loop == {"icsd/methods/kd.py"}
    assert "icsd/similarity.py" in loop  # every student's similarity is looked at while it learns
    assert "icsd/methods/icsd.py" in aicsd
    assert "icsd/methods/icsd.py" not in kd
    assert "icsd/methods/none.py" in loop


def test_a_digest_is_that_of_the_file(params):
    found = code_of(params, student("kd"))
    assert found["icsd/training/loop.py"] == sha256_of(SOURCE / "icsd/training/loop.py")
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("stage", "method"), [("train_teacher", "teacher"), ("baselines", "kd"), ("distill", "aicsd")]
)
def test_the_files_are_those_on_which_the_stage_depends(params, stage, method):
    """So a row never fails for code that leaves its stage up to date."""
    key = teacher_key(params) if method == "teacher" else student(method)
    own = {f"src/icsd/methods/{name}.py" for name in (method, "kd", "icsd")}
    found = {f"src/{path}" for path in code_of(params, key)} - (own if method != "teacher" else set())
    listed = [dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")]
    assert [
        path for path in found if not any(path == dep or path.startswith(f"{dep}/") for dep in listed)
    ] == []
    single = {dep for dep in listed if dep.endswith(".py")}
    assert single <= found


def test_a_student_needs_its_teacher(params, tmp_path):
    with pytest.raises(UserError, match="there is no teacher yet"):
        origin_of(tmp_path, params, student("kd"))
