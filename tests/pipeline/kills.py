"""Kill a pipeline repeatedly, in every stage and in several ways, and check its final state.

A round works on a fresh copy of a tiny project: a command (``dvc repro``, or ``python -m pipeline run -j 2``)
is started and killed a few times, then left to finish. It must end as a run that nobody killed:
``tests.pipeline.soundness`` says what that means. Between two kills nothing is done but to start the command
again; where DVC says that its own files are damaged, ``python -m pipeline repair`` comes before, as the
documentation says.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil
from tests.pipeline.soundness import faults_of
from tests.project import commit, environment, make_project

from icsd.commands.run.forks import COMMAND

START = "start"
"""Stands for the time in which DVC reads its files, before the first stage that it runs."""
STAGES = (
    *("validate", "download", "preprocess", "train_teacher", "distill", "baselines"),
    *("evaluate_teacher", "evaluate_distilled", "evaluate_baselines", "deploy", "report"),
)
"""In the order in which DVC runs them here."""
WAYS = tuple(
    f"{who} {number}"
    for who in ("command", "stage", "group")
    for number in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
)
"""Who is killed, and with what: the command, one of its stages, or all, as by Ctrl-C or a closed terminal."""
COMMANDS = {
    "dvc repro": [sys.executable, "-m", "dvc", "repro"],
    "pipeline run": [sys.executable, "-m", "pipeline", "run", "-j", "2"],
}
REPAIR = [sys.executable, "-m", "pipeline", "repair"]
_DAMAGED = ("JSON structure is corrupted", "'./dvc.lock' is invalid", "'./dvc.lock' validation failed")
_FORKED = ("train_teacher", "distill", "baselines", "evaluate")
_FINISH_SECONDS = 900
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 3.0
"""Of a person whose Ctrl-C has reached the command alone: DVC ignores it while a stage runs."""


@dataclass
class Round:
    """The result of a round: the kills, the number of repairs of DVC's own files, and the faults found."""

    seed: int
    command: str
    kills: list[str] = field(default_factory=list)
    repairs: int = 0
    faults: list[str] = field(default_factory=list)


def make_reference(folder: Path) -> Path:
    """Make a tiny project, committed, and a copy of it for each command after an undisturbed run.

    The time that each command takes to start, and each of its stages to run, is kept in ``seconds.json`` of
    the first copy.
    """
    project = make_project(
        folder,
        grid={"baselines": ["none"], "distilled": ["aicsd"], "seeds": [0]},
        evaluation={"panels": 1},
        monitor={"health_steps": 1, "similarity_images": 2},
    )
    commit(project)
    seconds = {}
    for command in COMMANDS:
        done = _done(project, command)
        shutil.copytree(project, done, symlinks=True)
        with _Started(done, command) as process:
            seconds[command] = _watched(process)
        assert process.returncode == 0, _output_of(process)
    (_done(project) / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    return project


def play(reference: Path, folder: Path, *, command: str, seed: int, kills: int) -> Round:
    """Play one round in a copy of the reference at ``folder``.

    Args:
        reference: From ``make_reference``.
        folder: Must not exist.
        command: Of ``COMMANDS``.
        seed: Of the stages, the moments and the ways.
        kills: How often the pipeline is killed before it may finish; fewer times where it is faster.
    """
    rng = random.Random(seed)
    round_ = Round(seed, command)
    shutil.copytree(reference, folder, symlinks=True)
    seconds = json.loads((_done(reference) / "seconds.json").read_text(encoding="utf-8"))[command]
    places = rng.choices((START, *STAGES), k=kills)
    for place in sorted(places, key=(START, *STAGES).index):
        way = rng.choice(WAYS)
        # Also shortly after its end: then DVC stores its outputs.
        after = rng.uniform(0, 1.1 * seconds.get(place, 0.0))
        if not _kill_once(folder, round_, place, way, after=after):
            break
    _finish(folder, round_)
    if not round_.faults:
        round_.faults += faults_of(_done(reference), folder)
    return round_


def _done(reference: Path, command: str = "dvc repro") -> Path:
    return reference.with_name(f"{reference.name}-done-{command.replace(' ', '-')}")


def _kill_once(project: Path, round_: Round, place: str, way: str, *, after: float) -> bool:
    """Start the pipeline, wait for a stage, kill ``after`` seconds later, and note where that was.

    False where nothing is left to kill.
    """
    who, name = way.split()
    with _Started(project, round_.command) as process:
        if not _wait_for(process, place) or not _sleep(process, after):
            if _asks_for_repair(process) and _repair(project, round_):
                return _kill_once(project, round_, place, way, after=after)
            if process.returncode:
                round_.faults.append(f"{round_.command} fails before a kill: {_output_of(process)[-600:]}")
            return False
        stage = _stage_of(process)
        at = stage[0] if stage else "the command itself"
        number = signal.Signals[name]
        if who == "group":
            os.killpg(process.pid, number)
        elif who == "stage" and stage:
            stage[1].send_signal(number)
        else:
            process.send_signal(number)
        if name == "SIGINT" and who == "command" and _sleep(process, _PATIENCE_SECONDS):
            os.killpg(process.pid, number)
        try:
            process.wait(timeout=_FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            round_.faults.append(f"{way} in {at}: {round_.command} did not end")
            os.killpg(process.pid, signal.SIGKILL)
        # Without an exit code it was done, but for the end of its process.
        round_.kills += [f"{way} in {at}"] if process.returncode else []
    return True


def _finish(project: Path, round_: Round) -> None:
    for _ in range(2):
        with _Started(project, round_.command) as process:
            process.wait(timeout=_FINISH_SECONDS)
        if process.returncode == 0:
            return
        if not (_asks_for_repair(process) and _repair(project, round_)):
            break
    round_.faults.append(f"does not finish: {_output_of(process)[-600:]}")


def _asks_for_repair(process: "_Started") -> bool:
    return bool(process.returncode) and any(message in _output_of(process) for message in _DAMAGED)


def _repair(project: Path, round_: Round) -> bool:
    """Run the repair; whether it reports that it fixed something."""
    round_.repairs += 1
    done = subprocess.run(
        REPAIR, cwd=project, env=environment(project), capture_output=True, text=True, check=False
    )
    return done.returncode == 0 and "was damaged" in done.stdout


class _Started(subprocess.Popen[str]):
    """A command in its own process group, with its output in a file."""

    def __init__(self, project: Path, command: str) -> None:
        self.output = project / ".dvc/tmp/output.txt"  # which neither git nor DVC look at
        self.output.parent.mkdir(exist_ok=True)
        with self.output.open("w", encoding="utf-8") as file:
            super().__init__(
                COMMANDS[command],
                cwd=project,
                env=environment(project),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_hear_every_signal,
            )


def _hear_every_signal() -> None:
    """A campaign in the background, or under ``nohup``, ignores some, and its children would too."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _output_of(process: _Started) -> str:
    return process.output.read_text(encoding="utf-8", errors="replace")


def _wait_for(process: _Started, place: str) -> bool:
    """Whether the stage, or a later one if it has finished, started before the process ended."""
    while place != START:
        stage = _stage_of(process)
        if stage and STAGES.index(stage[0]) >= STAGES.index(place):
            return True
        if not _sleep(process, _POLL_SECONDS):
            return False
    return True


def _sleep(process: _Started, seconds: float) -> bool:
    """Sleep; whether the process still runs afterwards."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _stage_of(process: _Started) -> tuple[str, psutil.Process] | None:
    """The stage that is running, the first of several: its name without the matrix, and its process."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        for child in children:
            if "pipeline" in child.cmdline() and (name := child.environ().get("DVC_STAGE")):
                return name.partition("@")[0], child
        forks = [each for each in children if COMMAND in each.cmdline() and each.ppid() != process.pid]
        if forks and (name := _running_fork(_output_of(process))):
            return name, forks[0]
    except psutil.Error:
        pass
    return None


def _running_fork(output: str) -> str | None:
    """The running stage whose process is a fork, which shows another environment: by what was printed."""
    running: list[str] = []
    for stage, word in re.findall(r"^\[(\w+)[^\]]*\] (started|done|FAILED|stopped)", output, re.MULTILINE):
        if word == "started":
            running.append(stage)
        elif stage in running:
            running.remove(stage)
    return next((each for each in running if each.startswith(_FORKED)), None)


def _watched(process: _Started) -> dict[str, float]:
    """Watch to the end: how long the command took to begin, and each stage to run."""
    begun: list[tuple[str, float]] = [(START, time.monotonic())]
    while _sleep(process, _POLL_SECONDS):
        stage = _stage_of(process)
        if stage and stage[0] != begun[-1][0]:
            begun.append((stage[0], time.monotonic()))
    return {name: later - since for (name, since), (_, later) in _with_end(begun)}


def _with_end(
    begun: list[tuple[str, float]],
) -> Iterator[tuple[tuple[str, float], tuple[str, float]]]:
    return pairwise([*begun, ("end", time.monotonic())])
