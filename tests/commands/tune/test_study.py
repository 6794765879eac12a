import json

import pytest

from icsd.commands.tune.study import Study
from icsd.errors import UserError


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "optuna.journal"
    for name in ("kd", "at"):
        study = Study(path, name)
        study.add(1.0, 0.5, largest=10.0)
        study.add(0.1, None, largest=10.0)
    return path


KEPT = {1.0: 0.5, 0.1: None}


def test_what_was_added_is_there_in_the_next_process(journal):
    assert Study(journal, "kd").finished == Study(journal, "at").finished == KEPT
    assert Study(journal, "cwd").finished == {}


def test_half_a_line_of_a_killed_process_costs_its_trial_alone(journal):
    journal.write_bytes(journal.read_bytes()[:-20])
    study = Study(journal, "at")
    assert study.finished == {1.0: 0.5}
    study.add(0.1, 0.25, largest=10.0)
    assert Study(journal, "at").finished == {1.0: 0.5, 0.1: 0.25}


@pytest.mark.parametrize("line", range(1, 7))
@pytest.mark.parametrize("content", ["", "{", "[]", "\x00", '{"op_code": 99}', '{"op_code": 4}'])
def test_a_damaged_line_is_named_with_the_way_out(journal, line, content):
    lines = journal.read_text().splitlines()
    lines[line - 1] = content
    journal.write_text("\n".join([*lines, ""]))
    with pytest.raises(UserError, match=rf"{journal}: line {line} is damaged .*; move this file"):
        Study(journal, "kd")


def test_a_changed_score_does_not_count(journal):
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    [place] = [index for index, line in enumerate(lines) if line.get("study_id") == 1 and line.get("value")]
    lines[place]["value"] = 0.75
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert Study(journal, "at").finished == {0.1: None}
    assert Study(journal, "kd").finished == KEPT
