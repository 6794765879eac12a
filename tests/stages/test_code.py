"""The walk along imports, and the digests by which a run depends on its method's files."""

import pytest
from tests.imports import ROOT, SOURCE, imports_of

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.stages.code import TRAINING, code_of_method, code_of_training, files_behind, imported_by
from icsd.yaml_files import read_yaml

METHODS = read_yaml(ROOT / "params.yaml")["methods"]
BLOCK = {"alw": False, "weights": {}}
LIMITS = {SOURCE / "icsd/params/block.py"}
"""What a parameter is refused by: it decides whether a network is trained, not which."""
CORE = [
    f"icsd/core/{name}.py"
    for name in ("chunked_similarity", "labels", "logits", "pieces", "similarity", "tiled_cross_entropy")
]


def test_imports_count_wherever_they_stand_but_for_type_checking(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        """
from typing import TYPE_CHECKING
import icsd.core.seeds, numpy
if TYPE_CHECKING:
    from icsd.methods.base import Method
else:
    from icsd.core import metrics
def late():
    from icsd.data.manifest import MANIFEST
"""
    )
    assert imported_by(file) == {
        *("icsd.core.seeds", "icsd.core", "icsd.core.metrics"),
        *("icsd.data.manifest", "icsd.data.manifest.MANIFEST"),
    }


def test_the_walk_stays_within_its_rooms():
    within = files_behind([TRAINING], rooms=("stages.training",))
    assert {path.parent for path in within} == {SOURCE / "icsd/stages/training"}
    assert SOURCE / "icsd/core/seeds.py" in files_behind([TRAINING])


@pytest.mark.parametrize(
    "room", ["datasets", "monitoring", "params", "reporting", "stages/recording", "tracking"]
)
def test_what_cannot_change_a_network_is_not_behind_it(room):
    assert not [path for path in code_of_training() if path.startswith(f"icsd/{room}")]


def test_no_method_is_behind_every_network():
    assert not [path for path in code_of_training() if path.startswith("icsd/methods/")]


def test_a_method_is_its_file_and_what_that_imports():
    code = code_of_method("icsd", BLOCK)
    assert list(code) == [*CORE, "icsd/methods/base.py", "icsd/methods/icsd.py"]
    assert code["icsd/methods/icsd.py"] == sha256_of(SOURCE / "icsd/methods/icsd.py")


@pytest.mark.parametrize("name", METHODS)
def test_the_digests_cover_all_that_a_method_imports(name):
    files = {SOURCE / path for path in code_of_method(name, METHODS[name])}
    assert SOURCE / f"icsd/methods/{METHODS[name].get('method', name)}.py" in files
    assert set().union(*map(imports_of, files)) <= files | LIMITS


def test_the_student_alone_depends_on_no_other_method():
    assert list(code_of_method("none", BLOCK)) == ["icsd/methods/none.py"]


def test_a_block_with_a_name_of_its_own_is_made_of_the_method_that_it_names():
    assert code_of_method("icsd_rows", {**BLOCK, "method": "icsd"}) == code_of_method("icsd", BLOCK)


def test_a_weight_kd_brings_the_file_of_kd():
    assert "icsd/methods/kd.py" in code_of_method("icsd", {**BLOCK, "weights": {"icsd": 1.0, "kd": 1.0}})
    assert "icsd/methods/kd.py" not in code_of_method("icsd", BLOCK)


def test_an_unknown_method_is_an_error():
    with pytest.raises(
        UserError, match=r"methods\.mine\.method: there is no method 'icds'; did you mean 'icsd'"
    ):
        code_of_method("mine", {**BLOCK, "method": "icds"})
