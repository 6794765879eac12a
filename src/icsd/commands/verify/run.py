"""The command: checks the rows that are asked for, and returns the exit code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from icsd.commands.verify.cache import check_cache
from icsd.commands.verify.checks import (
    Check,
    State,
    check_of,
    compare_code,
    compare_data,
    compare_file,
    compare_parameters,
    compare_report,
    recorded_weights,
    relative_message,
)
from icsd.commands.verify.remeasuring import measure_again
from icsd.commands.verify.store import check_store
from icsd.data.manifest import MANIFEST
from icsd.data.prepared import PreparedData
from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.params import Params
from icsd.records import MetricsRecord, TrainRecord, read_record
from icsd.runs import TEACHER, RunKey, data_folder
from icsd.stages.device import accelerator
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.paces import budgeted
from icsd.stages.provenance import provenance_of
from icsd.stages.source_note import check_source
from icsd.stages.validate import checked_params


def verify(root: Path, *, method: str | None, student: str | None, seed: int | None) -> int:
    """Check the rows of the grid with this method, student and seed (None: any), and print the outcome.

    If all rows are asked for, the files of data.source, DVC's cache and MLflow's store are checked, too.

    Returns:
        The exit code: 0 if all rows hold, 1 if something differs, 2 if something is missing instead.

    Raises:
        UserError: The grid has no such row, or there is no such device.
    """
    params = checked_params(root)
    accelerator(params.runtime)  # its error is the command's, not a row's
    keys = _rows(params, method=method, student=student, seed=seed)
    shards = _inspect_shards(root, params)
    rows = {key.title: _shown(key.title, _checks(root, params, key, shards)) for key in keys}
    keepers: dict[str, list[Check]] = {}
    if (method, student, seed) == (None, None, None):
        keepers["data"] = _shown("data", _check_source(root, params))
        keepers["DVC"] = _shown("DVC", check_cache(root))
        if params.tracking.enabled:
            keepers["MLflow"] = _shown("MLflow", check_store(root, keys))
    return _conclude(rows, keepers)


def _shown(title: str, checks: Iterator[Check]) -> list[Check]:
    """Print the checks of a group as they end, then its verdict; nothing if the group is empty."""
    done: list[Check] = []
    for check in checks:
        if not done:
            print(title, flush=True)
        _print(check)
        done.append(check)
    if done:
        print(f"{title}: {_verdict(done)}", flush=True)
    return done


def _check_source(root: Path, params: Params) -> Iterator[Check]:
    """Check the user's own files, which DVC does not track; nothing if there are none."""
    try:
        if count := check_source(root, params.dataset, params.data):
            yield check_of("source", [], same=f"{count} files of data.source are those that were downloaded")
    except UserError as error:
        yield check_of("source", [str(error)], same="")


def _rows(params: Params, *, method: str | None, student: str | None, seed: int | None) -> list[RunKey]:
    keys = [
        key
        for key in (teacher_key(params), *student_keys(params, params.grid.methods))
        if method in (None, key.method) and student in (None, key.network) and seed in (None, key.seed)
    ]
    if not keys:
        raise UserError(
            "the grid of params.yaml has no such row; methods: "
            f"{', '.join([TEACHER, *params.grid.methods])}; students: {', '.join(params.grid.students)}; "
            f"seeds: {', '.join(map(str, params.grid.seeds))}"
        )
    return keys


@dataclass(frozen=True)
class _Shards:
    """The state of the data files, which all rows share.

    Attributes:
        absent: Files that the manifest lists and that do not exist.
        damage: What is wrong with those that exist, one sentence each.
    """

    absent: list[Path]
    damage: list[str]


def _inspect_shards(root: Path, params: Params) -> _Shards:
    """Read all data once, and compare it with the digests of the manifest."""
    folder = root / data_folder(params.dataset)
    if not (folder / MANIFEST).exists():
        return _Shards([], [])  # every row reports it
    data = PreparedData(folder)
    absent = [file.relative_to(root) for file in data.files if not file.exists()]
    return _Shards(absent, [] if absent else list(_damage(data)))


def _damage(data: PreparedData) -> Iterator[str]:
    for split in data.splits:
        try:
            data.split(split)
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
        metrics = read_record(root / key.results / "metrics.json", MetricsRecord)
    except UserError as error:
        yield Check("files", State.DIFFERS, (relative_message(root, error),))
        return
    yield from _compare_provenance(root, params, key, training, metrics, shards.damage)
    yield compare_report(root, params, key)
    yield measure_again(root, params, key, metrics)


def _files_of(params: Params, key: RunKey) -> list[Path]:
    """The files that a row needs, except for the shards."""
    return [
        data_folder(params.dataset) / MANIFEST,
        *([] if key.is_teacher else [teacher_key(params).weights]),
        *(key.folder / "train.json", key.weights),
        *(key.results / name for name in ("metrics.json", "confusion.npz", "ics.npz")),
    ]


def _compare_provenance(
    root: Path,
    params: Params,
    key: RunKey,
    training: TrainRecord,
    metrics: MetricsRecord,
    damage: Sequence[str],
) -> Iterator[Check]:
    """Compare what determined the network, and whether it is the network that was measured."""
    now, recorded = provenance_of(root, params, key), training.provenance
    if recorded is None:
        reason = "train.json is of an older version that recorded none: train the network again"
        yield Check("provenance", State.MISSING, (reason,))
    else:
        yield compare_code(recorded.code, now.code)
    yield compare_parameters(budgeted(root, params, key), key, training.params)
    yield compare_data(recorded.data if recorded else now.data, now.data, damage)
    if not key.is_teacher:
        trained_with = {"train.json": recorded.teacher} if recorded else {}
        yield compare_file("teacher", now.teacher, trained_with | {"metrics.json": metrics.teacher_sha256})
    if recorded and (recorded.pretrained or now.pretrained):
        yield compare_file("pretrained", now.pretrained, {"train.json": recorded.pretrained})
    if recorded and (recorded.weights or now.weights):
        yield compare_file("loaded", now.weights, {"train.json": recorded.weights})
    yield compare_file("weights", sha256_of(root / key.weights), recorded_weights(root, key, metrics))


def _print(check: Check) -> None:
    for number, line in enumerate(check.details):
        head = f"{check.state:<8} {check.subject:<10}" if number == 0 else " " * 19
        print(f"  {head} {line}", flush=True)


def _verdict(checks: Sequence[Check]) -> str:
    """``holds``, or the reason why not."""
    differing, missing = (
        [check.subject for check in checks if check.state is state]
        for state in (State.DIFFERS, State.MISSING)
    )
    if differing:
        return f"does not hold: {', '.join(differing)}"
    return f"undecided, missing: {', '.join(missing)}" if missing else "holds"


def _conclude(rows: Mapping[str, Sequence[Check]], keepers: Mapping[str, Sequence[Check]]) -> int:
    """The exit code; prints a summary of several rows, and what to do about missing files."""
    checks = {**rows, **keepers}
    states = {title: {check.state for check in group} for title, group in checks.items()}
    failing = [title for title in states if State.DIFFERS in states[title]]
    undecided = [title for title in states if State.MISSING in states[title] and title not in failing]
    if undecided:
        print(
            "missing: `dvc checkout` restores what is in DVC's cache, `dvc pull` what is in a remote; "
            "`dvc repro` makes it anew"
        )
    if len(rows) > 1:
        reasons = [f"{title} ({_verdict(checks[title])})" for title in (*failing, *undecided)]
        holding = sum(title not in (*failing, *undecided) for title in rows)
        print(f"{holding} of {len(rows)} rows hold" + (f"; {'; '.join(reasons)}" if reasons else ""))
    return 1 if failing else 2 if undecided else 0
