"""The exemptions of the mutation benchmark refer to code that exists."""

from mutants import EQUIVALENT
from tests.imports import ROOT


def test_every_exempt_line_is_in_its_file():
    stale = [
        (path, line)
        for path, line, _ in EQUIVALENT
        if line not in {each.strip() for each in (ROOT / path).read_text(encoding="utf-8").splitlines()}
    ]
    assert not stale
