"""Names repeat; executions do not."""

import shutil
from pathlib import Path

import pytest

from icsd.tracking import group_id
from icsd.tracking.identity import checkout_id

DIGEST = "0123456789abcdef"


def test_outside_an_experiment_the_parameters_tell_executions_apart(tmp_path: Path) -> None:
    assert group_id(tmp_path, DIGEST) == "workspace-0123456789"
    assert group_id(tmp_path, DIGEST, label="tuning") == "tuning-0123456789"


def test_a_name_that_is_used_again_is_another_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "wave")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "a" * 40)
    first = group_id(tmp_path, DIGEST)
    assert first == group_id(tmp_path, DIGEST), "all stages share it, and a killed one that runs again"
    assert first.startswith("wave-")
    forced = group_id(tmp_path, "fedcba9876543210")  # dvc exp run -f -n wave, with other parameters
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "b" * 40)
    later = group_id(tmp_path, DIGEST)
    assert len({first, forced, later}) == 3


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////somewhere/shared.db"])
@pytest.mark.parametrize("label", ["", "tuning"])
def test_two_checkouts_on_one_store_are_two_executions(
    uri: str, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben = tmp_path / "ann", tmp_path / "ben"
    ann.mkdir()
    assert group_id(ann, DIGEST, label=label).endswith("-0123456789"), "nobody else writes to its own store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mine = group_id(ann, DIGEST, label=label)
    shutil.copytree(ann, ben)
    assert group_id(ann, DIGEST, label=label) == mine != group_id(ben, DIGEST, label=label)


def test_a_checkout_keeps_its_name_when_it_is_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    name = checkout_id(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert checkout_id(tmp_path / "new") == name


@pytest.mark.parametrize("content", ["", "[]", '{"id": "x"}', "\x00"])
def test_a_damaged_name_is_replaced(content: str, tmp_path: Path) -> None:
    name = checkout_id(tmp_path)
    (tmp_path / ".state" / "checkout.json").write_text(content)
    assert checkout_id(tmp_path) == checkout_id(tmp_path) != name
