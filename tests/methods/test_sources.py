"""The digests by which a run depends on its method's files."""

import pytest
from tests.imports import SOURCE

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.methods.sources import sources_of

BLOCK = {"alw": False, "weights": {}}


def test_a_method_is_its_file_and_what_that_imports():
    found = sources_of("icsd", BLOCK)
    assert list(found) == ["icsd/methods/base.py", "icsd/methods/icsd.py", "icsd/similarity.py"]
    assert found["icsd/methods/icsd.py"] == sha256_of(SOURCE / "icsd/methods/icsd.py")


def test_the_student_alone_depends_on_no_other_method():
    assert list(sources_of("none", BLOCK)) == ["icsd/methods/none.py"]


def test_a_block_with_a_name_of_its_own_is_made_of_the_method_that_it_names():
    assert sources_of("icsd_rows", {**BLOCK, "method": "icsd"}) == sources_of("icsd", BLOCK)


def test_a_weight_kd_brings_the_file_of_kd():
    assert "icsd/methods/kd.py" in sources_of("icsd", {**BLOCK, "weights": {"icsd": 1.0, "kd": 1.0}})
    assert "icsd/methods/kd.py" not in sources_of("icsd", BLOCK)


def test_an_unknown_method_is_an_error():
    with pytest.raises(
        UserError, match=r"methods\.mine\.method: there is no method 'icds'; did you mean 'icsd'"
    ):
        sources_of("mine", {**BLOCK, "method": "icds"})
