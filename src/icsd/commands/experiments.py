"""Command ``experiments``: DVC's experiments as a table of what people compare."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icsd.errors import UserError
from icsd.reporting.results import ALONE
from icsd.reporting.style import method_label, network_label

PARAMS, METRICS = "params.yaml", "reports/metrics.json"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """One experiment, or the commit or workspace that experiments start from.

    Attributes:
        name: DVC's name; a branch or the short commit for a baseline.
        state: ``workspace``, ``commit``, ``success``, or DVC's word for one that waits, runs or failed.
        changed: Dotted keys of params.yaml that differ from the baseline -> value.
        metrics: Content of reports/metrics.json; empty without any.
        error: What DVC says of one that failed; None otherwise.
    """

    name: str
    state: str
    changed: dict[str, Any]
    metrics: Tree
    error: str | None


def show_experiments(
    root: Path, *, methods: Sequence[str] | None = None, all_commits: bool = False, as_csv: bool = False
) -> str:
    """The table of the repository's experiments as text.

    Args:
        root: The repository.
        methods: Those to show; all by default.
        all_commits: Experiments of all commits instead of the current one's.
        as_csv: A row per experiment, network and method, numbers as fractions.

    Raises:
        UserError: DVC cannot list the experiments, or none of them knows one of the methods.
    """
    found = read_experiments(root, all_commits=all_commits)
    known = {method for each in found for _, method, _ in _scores(each.metrics)}
    if unknown := [method for method in methods or () if known and method not in known]:
        raise UserError(
            f"--methods {unknown[0]}: in no experiment's metrics; known are {', '.join(sorted(known))}"
        )
    return _csv(found, methods) if as_csv else _text(found, methods)


def read_experiments(root: Path, *, all_commits: bool = False) -> list[Experiment]:
    """The workspace, the commits that experiments started from, and their experiments, as DVC lists them.

    Raises:
        UserError: DVC fails; its message is passed on.
    """
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", *(["-A"] if all_commits else [])]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`dvc exp show` failed: {done.stderr.strip() or done.stdout.strip()}")
    return list(_read(json.loads(done.stdout)))


def _read(baselines: list[Tree]) -> Iterator[Experiment]:
    # The workspace comes first; what it changed is told against the commit that it stands on, the next.
    commit = next((each for each in baselines if each["rev"] != "workspace"), None)
    for baseline in baselines:
        is_workspace = baseline["rev"] == "workspace"
        own = _flat_params(baseline)
        base = _flat_params(commit) if is_workspace and commit else own
        name = "workspace" if is_workspace else baseline.get("name") or baseline["rev"][:7]
        state = "workspace" if is_workspace else "commit"
        yield Experiment(name, state, _changed(own, base), _metrics(baseline), _error(baseline))
        for experiment in baseline.get("experiments") or []:
            last = experiment["revs"][0]
            executor = experiment.get("executor") or {}
            error = _error(last)
            state = str(executor.get("state") or ("failed" if error else "success")).lower()
            yield Experiment(
                experiment.get("name") or last["rev"][:7],
                state,
                _changed(_flat_params(last), own),
                _metrics(last) if state == "success" else {},
                error,
            )


def _flat_params(entry: Tree) -> dict[str, Any]:
    tree = ((entry.get("data") or {}).get("params") or {}).get(PARAMS) or {}
    return dict(_flat(tree.get("data") or {}))


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changed(own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    return {key: own.get(key) for key in sorted(own.keys() | base.keys()) if own.get(key) != base.get(key)}


def _metrics(entry: Tree) -> Tree:
    found = ((entry.get("data") or {}).get("metrics") or {}).get(METRICS) or {}
    return found.get("data") or {}


def _error(entry: Tree) -> str | None:
    error = entry.get("error")
    return f"{error.get('type', '')}: {error.get('msg', '')}".strip(": ") if error else None


def _scores(metrics: Tree) -> Iterator[tuple[str, str, Tree]]:
    for student, methods in metrics.items():
        if isinstance(methods, dict) and "miou" not in methods:
            for method, numbers in methods.items():
                yield student, method, numbers


def _text(experiments: list[Experiment], methods: Sequence[str] | None) -> str:
    columns = [
        (student, method)
        for student, method in dict.fromkeys(
            (student, method) for each in experiments for student, method, _ in _scores(each.metrics)
        )
        if methods is None or method in methods
    ]
    # The student alone first: it is what the others' gains are taken against.
    columns.sort(key=lambda pair: (pair[0], pair[1] != ALONE))
    several = len({student for student, _ in columns}) > 1
    headers = ["Experiment", "State", "Changed", "Dataset", "Teacher"]
    headers += [
        f"{network_label(student)} · {method_label(method)}" if several else method_label(method)
        for student, method in columns
    ]
    rows = [headers]
    for each in experiments:
        scores = {(student, method): numbers for student, method, numbers in _scores(each.metrics)}
        rows.append(
            [
                each.name,
                each.state,
                ", ".join(f"{key}={json.dumps(value)}" for key, value in each.changed.items()) or "–",
                str(each.metrics.get("dataset", "–")),
                _score(each.metrics.get("teacher", {})),
                *(_score(scores.get(column, {})) for column in columns),
            ]
        )
    widths = [max(len(row[index]) for row in rows) for index in range(len(headers))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    lines += [
        "",
        "mIoU in %, ± standard deviation over seeds; in brackets the gain over the student alone in",
    ]
    lines += ["points and its 95 % interval. –: no result."]
    lines += [f"{each.name}: {each.error}" for each in experiments if each.error]
    return "\n".join(lines) + "\n"


def _score(numbers: Tree) -> str:
    if numbers.get("miou") is None:
        return "–"
    text = f"{100 * numbers['miou']:.2f}"
    if numbers.get("std") is not None:
        text += f" ± {100 * numbers['std']:.2f}"
    if numbers.get("delta") is not None:
        text += f" ({100 * numbers['delta']:+.2f}"
        if numbers.get("low") is not None and numbers.get("high") is not None:
            text += f": {100 * numbers['low']:+.2f} to {100 * numbers['high']:+.2f}"
        text += ")"
    return text.replace("-", "−")


def _csv(experiments: list[Experiment], methods: Sequence[str] | None) -> str:
    buffer = io.StringIO()
    columns = ["experiment", "state", "changed", "dataset", "student", "method"]
    columns += ["miou", "std", "delta", "low", "high"]
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for each in experiments:
        base = {"experiment": each.name, "state": each.state, "dataset": each.metrics.get("dataset", "")}
        base["changed"] = "; ".join(f"{key}={json.dumps(value)}" for key, value in each.changed.items())
        scores = [
            (student, method, numbers)
            for student, method, numbers in _scores(each.metrics)
            if methods is None or method in methods
        ]
        for student, method, numbers in scores:
            writer.writerow({**base, "student": student, "method": method, **numbers})
        if not scores:
            writer.writerow(base)
    return buffer.getvalue()
