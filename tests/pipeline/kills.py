"""Kill a pipeline again and again, at random moments and in several ways, and see what it ends with.

A round works on a fresh copy of a tiny project: ``dvc repro`` is started and killed a few times, then left to
finish. It must end as a run that nobody killed: the same bytes in every output that identical runs share,
every point of every MLflow curve exactly once, no damaged object in DVC's cache, and no process left behind.
Between two kills nothing is done by hand but starting the same two commands again.
"""

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.project import commit, environment, make_project, outputs

WAYS = (
    "dvc SIGKILL",
    "dvc SIGTERM",
    "dvc SIGINT",
    "all SIGKILL",
    "all SIGTERM",
    "all SIGINT",
    "stage SIGKILL",
)
"""Who is killed, and with what: DVC alone, its process group (a closed terminal), or the stage alone."""
COMMANDS = ([sys.executable, "-m", "pipeline", "repair"], [sys.executable, "-m", "dvc", "repro"])
_FINISH_SECONDS = 600
_ORPHAN_SECONDS = 30


@dataclass
class Round:
    """What happened in one round: the kills, and everything that is not as it should be."""

    seed: int
    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def make_reference(folder: Path) -> Path:
    """A tiny project, committed, and its copy ``<folder>-done`` after a run that nobody killed."""
    project = make_project(folder, grid={"baselines": ["none"], "distilled": ["aicsd"], "seeds": [0]})
    commit(project)
    done = project.with_name(f"{project.name}-done")
    shutil.copytree(project, done, symlinks=True)
    _finish(done)
    return project


def play(reference: Path, folder: Path, *, seed: int, kills: int) -> Round:
    """One round in a copy of the reference at ``folder``.

    Args:
        reference: From ``make_reference``.
        folder: Must not exist.
        seed: Of the moments and the ways.
        kills: How often the pipeline is killed before it may finish.
    """
    rng = random.Random(seed)
    round_ = Round(seed)
    shutil.copytree(reference, folder, symlinks=True)
    done = reference.with_name(f"{reference.name}-done")
    longest = float((done / "seconds.txt").read_text(encoding="utf-8"))
    for number in range(kills):
        way = rng.choice(WAYS)
        longest *= 0.8 if number else 1.0  # stages that have finished do not run again
        round_.kills.append(_kill_once(folder, way, after=rng.uniform(0, 0.5 * longest)))
    try:
        _finish(folder)
    except (subprocess.SubprocessError, AssertionError) as error:
        round_.faults.append(f"does not finish: {error}")
        return round_
    round_.faults += [
        *_different_outputs(done, folder),
        *_broken_curves(done, folder),
        *_damaged_objects(folder),
        *_orphans(folder),
    ]
    return round_


def _kill_once(project: Path, way: str, *, after: float) -> str:
    """Start the pipeline, kill it after ``after`` seconds, and say at which stage that was."""
    who, name = way.split()
    number = signal.Signals[name]
    _run(project, COMMANDS[0])
    process = subprocess.Popen(
        COMMANDS[1],
        cwd=project,
        env=environment(project),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(timeout=after)
        return f"{way}: had finished"
    except subprocess.TimeoutExpired:
        pass
    stages = [child for child in psutil.Process(process.pid).children(recursive=True) if child.is_running()]
    at = _command_of(stages[-1]) if stages else "no stage"
    if who == "all":
        os.killpg(process.pid, number)
    elif who == "dvc":
        process.send_signal(number)
    elif stages:
        stages[-1].send_signal(number)
    try:
        process.wait(timeout=_FINISH_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"{way} in {at}: did not end"
    return f"{way} in {at}"


def _command_of(process: psutil.Process) -> str:
    words = _words(process)
    return words[words.index("pipeline") + 1] if "pipeline" in words[:-1] else " ".join(words[:3])


def _words(process: psutil.Process) -> list[str]:
    try:
        words: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return words


def _finish(project: Path) -> None:
    started = time.monotonic()
    for command in COMMANDS:
        done = _run(project, command)
        assert done.returncode == 0, f"{' '.join(command[2:])}: {done.stdout[-600:]} {done.stderr[-600:]}"
    (project / "seconds.txt").write_text(f"{time.monotonic() - started:.1f}", encoding="utf-8")


def _run(project: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
        timeout=_FINISH_SECONDS,
    )


def _different_outputs(reference: Path, project: Path) -> list[str]:
    """Outputs that are the same bytes in identical runs: not costs, nor the tables of times and run ids."""
    faults = []
    for name in ("data", "runs", "results", "reports"):
        expected, actual = (_stable(outputs(root / name)) for root in (reference, project))
        faults += [f"{name}/{path}: missing" for path in sorted(expected.keys() - actual.keys())]
        faults += [f"{name}/{path}: should not be there" for path in sorted(actual.keys() - expected.keys())]
        both = sorted(expected.keys() & actual.keys())
        faults += [f"{name}/{path}: other content" for path in both if expected[path] != actual[path]]
    return faults


def _stable(files: dict[str, bytes]) -> dict[str, bytes]:
    volatile = ("cost.", "provenance.", "report.html", "README.md", "protocol.")
    return {path: content for path, content in files.items() if not Path(path).name.startswith(volatile)}


def _broken_curves(reference: Path, project: Path) -> list[str]:
    expected, actual = _curves(reference), _curves(project)
    faults = [f"MLflow: {key} has {count} points" for key, count in actual.items() if count != expected[key]]
    return faults + [f"MLflow: {key} is missing" for key in expected.keys() - actual.keys()]


def _curves(project: Path) -> Counter[str]:
    """Run name and metric -> number of its points, of the networks' runs; the machine's load is left out."""
    query = (
        "select runs.name, metrics.key, count(*) from metrics join runs using (run_uuid) "
        "where runs.lifecycle_stage = 'active' and metrics.key not like 'system/%' group by 1, 2"
    )
    database = project / "mlflow.db"
    with sqlite3.connect(database) as connection:
        rows = connection.execute(query).fetchall()
    return Counter({f"{run}: {metric}": count for run, metric, count in rows})


def _damaged_objects(project: Path) -> list[str]:
    """Objects of DVC's cache whose content is not what their name says."""
    cache = project / ".dvc/cache/files/md5"
    return [
        f"cache: {path.parent.name}{path.name} is damaged"
        for path in cache.rglob("*")
        if path.is_file() and _md5(path) != f"{path.parent.name}{path.name.removesuffix('.dir')}"
    ]


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _orphans(project: Path) -> list[str]:
    """Processes that still work in the project, after a grace period."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while (alive := _processes_in(project)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [f"still running: {' '.join(_words(process))}" for process in alive]


def _processes_in(project: Path) -> list[psutil.Process]:
    alive = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(project):
                alive.append(process)
        except psutil.Error:
            continue
    return alive
