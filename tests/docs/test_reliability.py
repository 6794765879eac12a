"""Every command in docs/reliability.md names what exists."""

import shlex

import pytest
from tests.docs.markdown import CODE_SPAN, text
from tests.imports import ROOT

PAGE = ROOT / "docs/reliability.md"
COMMANDS = [
    span
    for line in text(PAGE).splitlines()
    if line.startswith("|")
    for span in CODE_SPAN.findall(line.rstrip("| ").rpartition("|")[2])
]


def test_each_attack_has_its_command():
    rows = [line for line in text(PAGE).splitlines() if line.startswith("| ") and "| --- " not in line]
    attacks = [row for row in rows if not row.endswith("| Command |")]
    assert len(attacks) == len(COMMANDS) > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_tests_or_a_script_that_exist(command):
    words = shlex.split(command)
    paths = [ROOT / word for word in words if word.startswith(("tests/", "benchmarks/"))]
    assert paths
    assert [path for path in paths if not path.exists()] == []
    if "-k" in words:
        name = words[words.index("-k") + 1]
        assert any(f"def test_{name}" in path.read_text(encoding="utf-8") for path in paths)
