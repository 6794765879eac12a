"""The weights of the literature, converted as docs/methods.md says: each is a citation."""

import inspect

import pytest
from tests.imports import ROOT

from icsd.methods import METHODS
from icsd.yaml_files import read_yaml

PUBLISHED = {
    "kd": {"kd": 1.0},
    "icsd": {"icsd": 57000.0},
    "aicsd": {"icsd": 57000.0, "kd": 2.86},
    "at": {"at": 10000.0, "kd": 1.0},
    "sp": {"sp": 3000.0},
    "ickd": {},
    "cwd": {"cwd": 3.0},
    "csd": {"csd": 10.0},
    "skd": {"skd": 10.0, "kd": 1.0},
    "ifvd": {"ifvd": 20.0, "kd": 1.0},
    "fitnet": {"fitnet": 10.0, "kd": 1.0},
    "dist": {"dist_inter": 1.0, "dist_intra": 1.0},
    "cirkd": {"cirkd_batch": 1.0, "cirkd_pixel": 0.1, "cirkd_region": 0.1, "kd": 1.0},
    "mgd": {"mgd": 2e-5},
    "lad": {"lad": 10.0},
    "attnfd": {"attnfd": 2.0},
    "overhaul": {"overhaul": 1.2e-4},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_are_those_of_the_literature(name: str) -> None:
    method = METHODS[name]
    assert method is not None
    assert dict(method.published) == PUBLISHED[name]


def test_every_method_is_listed() -> None:
    assert {name for name, method in METHODS.items() if method} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_methods_own_defaults_are_the_numbers_of_its_block(name: str) -> None:
    block = read_yaml(ROOT / "params.yaml")["methods"][name]
    method = METHODS[name]
    assert method is not None
    given = inspect.signature(method).parameters.values()
    defaults = {each.name: each.default for each in given if each.default is not each.empty}
    assert defaults == {key: value for key, value in block.items() if key not in ("alw", "weights")}
