"""Does a row of a report still hold? What it was made of, and the stored network measured again.

Nothing is written, and neither the network nor MLflow is asked.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icsd.commands.checks import (
    Check,
    State,
    below,
    compare_code,
    compare_data,
    compare_file,
    compare_parameters,
    compare_report,
    measure_again,
    weights_recorded,
)
from icsd.data.shards import MANIFEST, ShardedSplit, read_manifest
from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.params import Params
from icsd.records import MetricsRecord, TrainRecord, read_record
from icsd.runs import RunKey, data_folder
from icsd.stages.device import accelerator
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.provenance import provenance_of
from icsd.stages.validate import checked_params


def verify(root: Path, *, method: str | None, student: str | None, seed: int | None) -> int:
    """Check the rows of the grid that are asked for (None: all) and print what is found.

    Returns:
        The exit code: 0 when all hold, 1 when something differs, 2 when something is missing instead.

    Raises:
        UserError: The grid has no such row, or there is no such device.
    """
    params = checked_params(root)
    accelerator(params.runtime)  # a mistake there is none of the rows
    keys = _rows(params, method=method, student=student, seed=seed)
    shards = _look_at_shards(root, params)
    found: dict[str, list[Check]] = {}
    for key in keys:
        print(key.title, flush=True)
        found[key.title] = []
        for check in _checks(root, params, key, shards):
            _show(check)
            found[key.title].append(check)
        print(f"{key.title}: {_verdict(found[key.title])}", flush=True)
    return _conclude(found)


def _rows(params: Params, *, method: str | None, student: str | None, seed: int | None) -> list[RunKey]:
    keys = [
        key
        for key in (teacher_key(params), *student_keys(params, params.grid.methods))
        if method in (None, key.method) and student in (None, key.network) and seed in (None, key.seed)
    ]
    if not keys:
        raise UserError(
            "the grid of params.yaml has no such row; methods: "
            f"{', '.join(['teacher', *params.grid.methods])}; students: {', '.join(params.grid.students)}; "
            f"seeds: {', '.join(map(str, params.grid.seeds))}"
        )
    return keys


@dataclass(frozen=True)
class _Shards:
    """Data files that are not there, and what is wrong with those that are."""

    absent: list[Path]
    damaged: list[str]


def _look_at_shards(root: Path, params: Params) -> _Shards:
    """Read all data once and hold them against the digests of the manifest."""
    folder = data_folder(params.dataset)
    if not (root / folder / MANIFEST).exists():
        return _Shards([], [])  # every row says so
    splits = read_manifest(root / folder)["splits"]
    shards = [shard for split in splits.values() for shard in split["shards"]]
    files = [folder / name for shard in shards for name in (shard["images"], shard["labels"])]
    absent = [file for file in files if not (root / file).exists()]
    return _Shards(absent, [] if absent else list(_damage(root / folder, list(splits))))


def _damage(folder: Path, splits: list[str]) -> Iterator[str]:
    for split in splits:
        try:
            ShardedSplit(folder, split).verify()
        except UserError as error:
            yield str(error)


def _checks(root: Path, params: Params, key: RunKey, shards: _Shards) -> Iterator[Check]:
    if (root / key.results / "diverged.json").exists():
        yield Check("numbers", State.MISSING, ("the training diverged: there is no score to check",))
        return
    absent = [file for file in _files_of(params, key) if not (root / file).exists()] + shards.absent
    if absent:
        yield Check("files", State.MISSING, tuple(file.as_posix() for file in absent))
        return
    try:
        training = read_record(root / key.folder / "train.json", TrainRecord)
        metrics = _as_written(root / key.results / "metrics.json", MetricsRecord)
    except UserError as error:
        yield Check("files", State.DIFFERS, (below(root, error),))
        return
    yield from _compare_provenance(root, params, key, training, metrics, shards)
    yield compare_report(root, params, key)
    yield measure_again(root, params, key, metrics)


def _compare_provenance(
    root: Path,
    params: Params,
    key: RunKey,
    training: TrainRecord,
    metrics: dict[str, Any],
    shards: _Shards,
) -> Iterator[Check]:
    """What the network was made of, and that it is the network that was measured."""
    now = provenance_of(root, params, key)
    recorded = training.provenance
    if recorded is None:
        yield Check(
            "provenance", State.MISSING, ("train.json is of a version that kept none: train it again",)
        )
    else:
        yield compare_code(recorded.code, now.code)
    yield compare_parameters(params, key, training.params)
    yield compare_data(recorded.data if recorded else now.data, now.data, shards.damaged)
    if not key.is_teacher:
        trained_with = {"train.json": recorded.teacher} if recorded else {}
        yield compare_file("teacher", now.teacher, trained_with | {"metrics.json": metrics["teacher_sha256"]})
    if recorded and (recorded.pretrained or now.pretrained):
        yield compare_file("pretrained", now.pretrained, {"train.json": recorded.pretrained})
    yield compare_file("weights", sha256_of(root / key.weights), weights_recorded(root, key, metrics))


def _files_of(params: Params, key: RunKey) -> list[Path]:
    """What a row needs, but for the shards."""
    return [
        data_folder(params.dataset) / MANIFEST,
        *([] if key.is_teacher else [teacher_key(params).weights]),
        *(key.folder / "train.json", key.weights),
        *(key.results / name for name in ("metrics.json", "confusion.npz", "ics.npz")),
    ]


def _as_written(path: Path, kind: type[MetricsRecord]) -> dict[str, Any]:
    """A result file's content, once it is known to be whole."""
    read_record(path, kind)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _show(check: Check) -> None:
    for number, line in enumerate(check.details):
        head = f"{check.state:<8} {check.subject:<10}" if number == 0 else " " * 19
        print(f"  {head} {line}", flush=True)


def _verdict(checks: list[Check]) -> str:
    """``holds``, or why not."""
    differ, missing = (
        [check.subject for check in checks if check.state is state]
        for state in (State.DIFFERS, State.MISSING)
    )
    if differ:
        return f"does not hold: {', '.join(differ)}"
    return f"cannot be told, missing: {', '.join(missing)}" if missing else "holds"


def _conclude(found: dict[str, list[Check]]) -> int:
    """The exit code; a last line for several rows, and what to do about missing files."""
    states = {title: {check.state for check in checks} for title, checks in found.items()}
    failing = [title for title in found if State.DIFFERS in states[title]]
    untold = [title for title in found if State.MISSING in states[title] and title not in failing]
    if untold:
        print(
            "missing: `dvc checkout` brings back what is in DVC's cache, `dvc pull` what is in a remote; "
            "`dvc repro` makes it anew"
        )
    if len(found) > 1:
        reasons = [f"{title} ({_verdict(found[title])})" for title in (*failing, *untold)]
        held = len(found) - len(reasons)
        print(f"{held} of {len(found)} rows hold" + (f"; {'; '.join(reasons)}" if reasons else ""))
    return 1 if failing else 2 if untold else 0
