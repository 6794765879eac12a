import json

import pytest
from tests.golden.methods import PATH, values

GOLDEN: dict[str, dict[str, float]] = json.loads(PATH.read_text(encoding="utf-8"))


def test_every_case_has_its_golden_value() -> None:
    assert values().keys() == GOLDEN.keys()


@pytest.mark.parametrize("case", GOLDEN)
def test_numbers_have_not_moved(case: str) -> None:
    assert values()[case] == pytest.approx(GOLDEN[case], rel=2e-5)
