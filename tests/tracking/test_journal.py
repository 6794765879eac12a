import json
import os
from pathlib import Path

import pytest
from tests.vanishing import vanishing

from icsd.tracking.journal import Journal, journal_folders
from icsd.tracking.run import RunDescription


def point(step: int, **values: float) -> dict[str, object]:
    return {"kind": "metrics", "time": step, "step": step, "values": values}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path)
    for step in (1, 2, 3):
        journal.append(point(step, loss=1 / step))
    return journal


def steps(journal: Journal) -> list[int]:
    return [line.record["step"] for line in journal.take() if line.record]


def test_a_second_process_finds_what_the_first_recorded(journal: Journal) -> None:
    assert steps(Journal(journal.folder)) == [1, 2, 3]


def test_delivered_records_do_not_wait_any_more_not_even_after_a_restart(journal: Journal) -> None:
    journal.deliver(journal.take()[1].end)
    assert steps(journal) == [3]
    assert steps(Journal(journal.folder)) == [3]


def test_a_line_cut_by_a_kill_is_removed_and_the_next_one_is_whole(journal: Journal) -> None:
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"kind": "metrics", "ti')
    continued = Journal(journal.folder)
    continued.append(point(4, loss=0.25))
    assert steps(continued) == [1, 2, 3, 4]
    assert steps(Journal(journal.folder)) == [1, 2, 3, 4]


def test_a_repeated_point_is_known_and_a_changed_one_is_not(journal: Journal) -> None:
    assert journal.unknown({"loss": 0.5}, 2) == {}
    assert journal.unknown({"loss": 0.6, "miou": 0.1}, 2) == {"loss": 0.6, "miou": 0.1}


def test_nan_is_known_when_it_comes_again(journal: Journal) -> None:
    journal.append(point(4, loss=float("nan")))
    assert Journal(journal.folder).unknown({"loss": float("nan")}, 4) == {}


def test_a_repeated_measurement_of_the_machine_counts_as_known(journal: Journal) -> None:
    journal.append(point(4, **{"system/memory": 1.0}))
    assert journal.unknown({"system/memory": 2.0}, 4) == {}


def test_rewinding_forgets_what_was_never_on_its_way(journal: Journal) -> None:
    journal.rewind(1)
    assert steps(journal) == [1]
    assert journal.unknown({"loss": 0.5}, 2) == {"loss": 0.5}


def test_rewinding_keeps_what_the_server_may_have(journal: Journal) -> None:
    journal.deliver(0)
    assert len(journal.take()) == 3
    journal.append(point(4, loss=0.25))
    journal.rewind(1)
    assert steps(journal) == [1, 2, 3]


def test_the_journal_continues_after_rewinding(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(point(1, loss=1.0))
    journal.deliver(journal.take()[0].end)
    journal.append(point(2, loss=0.5))
    journal.rewind(1)
    journal.append(point(2, loss=0.4))
    assert steps(Journal(journal.folder)) == [2]


def test_restarting_sends_everything_again(journal: Journal) -> None:
    journal.deliver(journal.take()[-1].end)
    journal.attach("new", ["old"], lost=True)
    assert steps(journal) == [1, 2, 3]


def test_every_line_is_readable_json(journal: Journal) -> None:
    lines = (journal.folder / "journal.jsonl").read_text().splitlines()
    values = [json.loads(line)[1]["values"] for line in lines]
    assert values == [{"loss": 1.0}, {"loss": 0.5}, {"loss": 1 / 3}]


def test_the_journal_of_an_earlier_version_is_delivered(tmp_path: Path) -> None:
    run = {
        "experiment": "e",
        "group": "g",
        "role": "child",
        "name": "n",
        "tags": {},
        "run_id": "id",
        "former": [],
    }
    (tmp_path / "run.json").write_text(json.dumps({**run, "key": "k", "started": 1}))
    lines = [json.dumps(point(step, loss=1 / step)) + "\n" for step in (1, 2)]
    (tmp_path / "journal.jsonl").write_text("".join(lines))
    delivered = {"delivered": len(lines[0]), "attempted": len(lines[0])}
    (tmp_path / "delivered.json").write_text(json.dumps(delivered))
    journal = Journal(tmp_path)
    found = RunDescription.of(journal)
    assert found is not None
    assert (found.run_id, found.key) == ("id", "k")
    assert steps(journal) == [2]


def test_a_changed_digit_is_found(journal: Journal) -> None:
    path = journal.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"loss": 0.5', b'"loss": 0.6'))
    assert steps(Journal(journal.folder)) == [1, 3]


def test_what_the_store_did_not_take_waits_behind_the_others(journal: Journal) -> None:
    first, second, third = journal.take()
    journal.deliver(first.end)
    journal.deliver(second.end, postponed=[second.start])
    journal.deliver(third.end)
    again = Journal(journal.folder)
    assert again.waiting == 1
    assert [line.record["step"] for line in again.postponed() if line.record] == [2]
    again.settle(second.start)
    assert Journal(journal.folder).waiting == 0


def test_folders_that_another_process_removes_meanwhile_do_not_hide_the_journals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder = tmp_path / ".state/runs/kd"
    Journal(folder).append(point(1, loss=1.0))
    (folder / "files").mkdir()
    monkeypatch.setattr(os, "scandir", vanishing("files"))
    assert journal_folders(tmp_path) == [folder]
