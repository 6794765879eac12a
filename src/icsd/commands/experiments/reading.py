"""Reads experiments from DVC: what each changed, and its results."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icsd.commands.experiments.elsewhere import read_dependencies, trained_elsewhere
from icsd.errors import UserError

PARAMS, METRICS = "params.yaml", "reports/metrics.json"
Tree = dict[str, Any]
Dependencies = Mapping[bool, list[str]]


@dataclass(frozen=True)
class Experiment:
    """One experiment, or the commit or workspace that experiments start from.

    Attributes:
        name: DVC's name; a branch or the short commit for a baseline.
        state: ``workspace``, ``commit``, ``success``, or DVC's word for a queued, running or failed one.
        changed: Dotted keys of params.yaml that differ from the baseline -> value.
        metrics: Content of reports/metrics.json; empty if there is none.
        error: DVC's message if it failed; None otherwise.
        base: Name of the commit that it started from.
        elsewhere: Networks that differ from the baseline's although none of their dependencies does.
    """

    name: str
    state: str
    changed: dict[str, Any]
    metrics: Tree
    error: str | None
    base: str
    elsewhere: tuple[str, ...] = ()

    @property
    def dataset(self) -> str | None:
        """The dataset that the metrics are of."""
        return self.metrics.get("dataset")

    @property
    def teacher(self) -> Mapping[str, float | None]:
        """The teacher's numbers."""
        numbers: Tree = self.metrics.get("teacher", {})
        return numbers

    @property
    def scores(self) -> dict[tuple[str, str], Mapping[str, float | None]]:
        """(Student, method) -> ``miou``, ``std``, ``delta``, ``low``, ``high``, where these are known."""
        students = {
            student: methods
            for student, methods in self.metrics.items()
            if isinstance(methods, dict) and "miou" not in methods
        }
        return {
            (student, method): numbers
            for student, methods in students.items()
            for method, numbers in methods.items()
        }


def read_experiments(root: Path, *, all_commits: bool = False) -> list[Experiment]:
    """The workspace, the commits that experiments started from, and their experiments, in DVC's order.

    Raises:
        UserError: DVC fails; its message is passed on.
    """
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", *(["-A"] if all_commits else [])]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`dvc exp show` failed: {done.stderr.strip() or done.stdout.strip()}")
    baselines: list[Tree] = json.loads(done.stdout)
    # The workspace comes first; its changes are relative to the commit that it is based on, the next.
    commit = next((baseline for baseline in baselines if baseline["rev"] != "workspace"), None)
    dependencies = read_dependencies(root)
    return [each for baseline in baselines for each in _with_experiments(baseline, commit, dependencies)]


def _with_experiments(
    baseline: Tree, commit: Tree | None, dependencies: Dependencies
) -> Iterator[Experiment]:
    """A commit, or the workspace, and the experiments that started from it."""
    is_workspace = baseline["rev"] == "workspace"
    base = commit if is_workspace and commit else baseline
    yield Experiment(
        name="workspace" if is_workspace else _name(baseline),
        state="workspace" if is_workspace else "commit",
        changed=_changed(_flat_params(baseline), _flat_params(base)),
        metrics=_metrics(baseline),
        error=_error(baseline),
        base=_name(base),
        elsewhere=tuple(trained_elsewhere(baseline, base, dependencies)),
    )
    for experiment in baseline.get("experiments") or []:
        yield _experiment(experiment, baseline, dependencies)


def _name(commit: Tree) -> str:
    name: str = commit.get("name") or commit["rev"][:7]
    return name


def _experiment(experiment: Tree, base: Tree, dependencies: Dependencies) -> Experiment:
    last = experiment["revs"][0]
    error = _error(last)
    executor = experiment.get("executor") or {}
    state = str(executor.get("state") or ("failed" if error else "success")).lower()
    return Experiment(
        name=experiment.get("name") or last["rev"][:7],
        state=state,
        changed=_changed(_flat_params(last), _flat_params(base)),
        # Until it has run, DVC lists the metrics that it started from.
        metrics=_metrics(last) if state == "success" else {},
        error=error,
        base=_name(base),
        elsewhere=tuple(trained_elsewhere(last, base, dependencies)) if state == "success" else (),
    )


def _flat_params(entry: Tree) -> Tree:
    tree = ((entry.get("data") or {}).get("params") or {}).get(PARAMS) or {}
    return dict(_flat(tree.get("data") or {}))


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changed(own: Tree, base: Tree) -> Tree:
    return {key: own.get(key) for key in sorted(own.keys() | base.keys()) if own.get(key) != base.get(key)}


def _metrics(entry: Tree) -> Tree:
    file = ((entry.get("data") or {}).get("metrics") or {}).get(METRICS) or {}
    return file.get("data") or {}


def _error(entry: Tree) -> str | None:
    error = entry.get("error")
    return f"{error.get('type', '')}: {error.get('msg', '')}".strip(": ") if error else None
