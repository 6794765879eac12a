"""With any content in tracking's files, work goes on, readable records arrive, and damaged files are kept."""

import json
import os
import re
import shutil
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from icsd.tracking import (
    close_stale,
    deliver_pending,
    delivery,
    open_parent,
    open_tracker,
    opening,
    run_id_in,
    upkeep,
)
from icsd.tracking.git import GitState
from icsd.tracking.patience import PATIENCE

STATE = Path(".state/runs/kd/tracking")
FILES = ("journal.jsonl", "delivered.json", "lock", "files", "images")


class Store:
    """Fake of MLflow that accepts and keeps all records."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, Any]] = []
        self.guard = threading.Lock()

    def attach(self, root: Path, run: Any) -> tuple[Any, bool]:
        run.run_id = run.run_id or f"run of {run.key}"
        return SimpleNamespace(tracking_uri="sqlite:///"), False

    def send(self, client: object, run_id: str, record: dict[str, Any], folder: Path) -> None:
        with self.guard:
            for kind, value in record.get("items", [(record["kind"], None)]):
                self.taken.append((run_id, kind, value))

    @property
    def points(self) -> set[tuple[str, int, float]]:
        return {
            (value["key"], value["step"], value["value"]) for _, kind, value in self.taken if kind == "metric"
        }


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(delivery, "attach", store.attach)
    monkeypatch.setattr(delivery, "send", store.send)
    monkeypatch.setattr(delivery, "is_there", lambda client, run_id: True)
    monkeypatch.setattr(upkeep, "when_reachable", lambda root, work, **_: None)
    monkeypatch.setattr(opening, "git_state", lambda root: GitState())
    monkeypatch.setattr(os, "fsync", lambda number: None)  # hundreds of times: nothing here loses its power
    return store


def train(root: Path, *, steps: range = range(1, 4), status: str = "FINISHED") -> None:
    """Every call of a tracker, as training makes them."""
    weights = root / "weights.bin"
    weights.write_bytes(b"1" * 100)
    with open_tracker(
        root=root, experiment="e", group="g", name="n", tags={}, state=root / STATE, system_metrics=False
    ) as tracker:
        tracker.rewind(0)
        tracker.params({"lr": 0.1})
        tracker.tags({"a": "b"})
        tracker.dataset("shapes", digest="0", source="generated", context="training")
        for step in steps:
            tracker.log({"loss": 1 / step}, step)
        tracker.image(np.zeros((2, 2, 3), np.uint8), key="panel", step=1)
        tracker.artifact(weights)
        tracker.text("text", "note.txt")
        tracker.close(status)  # type: ignore[arg-type]


def evaluate(root: Path) -> None:
    deliver_pending(root)
    run_id_in(root / STATE)
    with open_tracker(
        root=root,
        experiment="e",
        group="g",
        name="n",
        tags={},
        state=root / ".state/evaluations/kd",
        key="key",
        amend=True,
        system_metrics=False,
    ) as tracker:
        tracker.log({"report/miou": 0.5}, 3)


def report(root: Path) -> None:
    deliver_pending(root)
    with open_parent(root=root, experiment="e", group="g") as parent:
        parent.log({"kd/miou": 0.5}, 0)
    close_stale(root, experiment="e", group="g")
    deliver_pending(root)


def replaced(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        remove(path)
        path.write_bytes(content)

    return damage


def edited(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = path.read_bytes() if path.is_file() else b""
        replaced(edit(content))(path)

    return damage


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    remove(path)
    path.mkdir()
    (path / "something").write_text("else")


def dangling(path: Path) -> None:
    remove(path)
    path.symlink_to("nowhere/at/all")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "gone": remove,
    "empty": replaced(b""),
    "zeros": replaced(bytes(4096)),
    "binary": replaced(bytes(range(256)) * 4),
    "text": replaced(b"hello\n"),
    "not utf-8": replaced(b'{"kind": "\xff"}\n'),
    "null": replaced(b"null\n"),
    "number": replaced(b"1e999\n"),
    "list": replaced(b"[1, 2]\n"),
    "nested": replaced(b"[" * 5000 + b"\n"),
    "nested in braces": replaced(b'{"a":' * 5000 + b"\n"),
    "wrong types": replaced(
        b'{"delivered": "x", "attempted": null, "postponed": 7, "run_id": 3, "former": {}}\n'
        b'{"kind": 5}\n{"kind": "metrics", "step": "one", "values": 3}\n{"kind": "image"}\n{"kind": "run"}\n'
    ),
    "negative": replaced(b'{"delivered": -5, "attempted": -1}\n'),
    "beyond the end": replaced(
        b'{"delivered": 99999999, "attempted": 99999999, "postponed": [88888888, 3]}\n'
    ),
    "first half": edited(lambda content: content[: len(content) // 2]),
    "second half": edited(lambda content: content[len(content) // 2 :]),
    "a byte more": edited(lambda content: content + b"{"),
    "a flipped bit": edited(
        lambda content: content[:20] + bytes([content[20] ^ 4]) + content[21:] if content[20:] else b"x"
    ),
    "a zeroed block": edited(lambda content: content[:64] + bytes(64) + content[128:]),
    "twice": edited(lambda content: content * 2),
    "windows line ends": edited(lambda content: content.replace(b"\n", b"\r\n")),
    "a folder": folder,
    "a dangling link": dangling,
}


Recorded = dict[str, tuple[Path, set[tuple[str, int, float]]]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """After a training: its state, and the points that have arrived, either all or none."""
    places = {}
    for name in ("delivered", "waiting"):
        root, store = tmp_path_factory.mktemp(name), Store()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delivery, "attach", store.attach if name == "delivered" else fail)
            patch.setattr(delivery, "send", store.send)
            patch.delenv("DVC_ROOT", raising=False)
            train(root, status="KILLED")
        places[name] = root / ".state", store.points
        PATIENCE.__init__()  # type: ignore[misc]
    assert [len(points) for _, points in places.values()] == [3, 0]
    return places


def fail(*_: object) -> Any:
    raise ConnectionError("away")


def readable_points(state: Path) -> set[tuple[str, int, float]]:
    """The points in the intact lines of a journal that describes its run."""
    path = state / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    found: set[tuple[str, int, float]] = set()
    identified = False
    for line in lines:
        match = re.fullmatch(rb"\[(\d+), (\{.*\})\]\r?\n", line)
        if not match or zlib.crc32(match[2]) != int(match[1]):
            continue
        record = json.loads(match[2])
        identified = identified or record["kind"] == "run"
        if record["kind"] == "metrics":
            found |= {(key, record["step"], value) for key, value in record["values"].items()}
    return found if identified else set()


@pytest.mark.parametrize(
    ("name", "before"),
    [*((name, "waiting") for name in FILES), ("journal.jsonl", "delivered"), ("delivered.json", "delivered")],
)
def test_no_content_of_a_state_file_stops_a_stage_or_keeps_what_is_readable(
    name: str, before: str, recorded: Recorded, tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    source, arrived = recorded[before]
    for number, (damage, work) in enumerate(DAMAGES.items()):
        root = tmp_path / str(number)
        shutil.copytree(source, root / ".state", symlinks=True)
        work(root / STATE / name)
        original = (root / STATE / name).read_bytes() if (root / STATE / name).is_file() else b""
        readable = readable_points(root / STATE)
        store.taken.clear()
        caplog.clear()
        evaluate(root)
        report(root)
        assert readable <= arrived | store.points, damage
        train(root)
        assert {("loss", step, 1 / step) for step in (1, 2, 3)} <= arrived | store.points, damage
        assert {("report/miou", 3, 0.5), ("kd/miou", 0, 0.5)} <= store.points, damage
        assert deliver_pending(root) == 0, damage
        if "is kept as" in caplog.text and original:
            kept = [path.read_bytes() for path in (root / ".state").rglob("*.damaged-*") if path.is_file()]
            assert original in kept, damage
        assert len(caplog.records) <= 3, (damage, caplog.text)
