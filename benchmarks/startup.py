"""The overhead of a stage: CPU seconds of its start, imports and exit, and the packages that take them.

``PYTHONPATH=src:. python benchmarks/startup.py``

A stage is a process. Each row is a process that imports what the stage imports, through the entry point, and
exits as the entry point does; the stage's work is left out. It is compared with Python's ordinary way, in
which stages were started before: garbage collection during imports, ``torch._dynamo`` imported directly, and
a full teardown of the interpreter. Both are interleaved.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections import Counter

from measuring import section

STAGES = {
    "validate": (
        "icsd.stages.validate",
        "icsd.commands.foresight",
        "icsd.methods",
        "icsd.stages.own_weights",
    ),
    "download": ("icsd.stages.download",),
    "preprocess": ("icsd.stages.preprocess",),
    "train-teacher, train-student": ("icsd.stages.training.run", "icsd.models.own_weights"),
    "evaluate": ("icsd.stages.evaluation.run", "icsd.models.own_weights"),
    "report": (
        "icsd.stages.report",
        "icsd.reporting.dvc_plots",
        "icsd.reporting.figures.gallery",
        "icsd.reporting.page.html",
        "icsd.reporting.page.slider",
    ),
}
"""Maps a stage to the modules that it has imported when it ends."""
TRACKED = ("train-teacher, train-student", "evaluate", "report")
MLFLOW = ("mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store")
FLOOR = "torch alone"


def program(modules: tuple[str, ...], *, fast: bool) -> str:
    """A program that imports some modules, through the entry point or in Python's ordinary way."""
    if not fast:
        return f"import sys; sys.path.insert(0, 'src'); import {', '.join(modules)}"
    own = ", ".join(module for module in modules if module not in MLFLOW)
    lines = [
        "import pipeline.cli",
        "from icsd.importing import lasting, uncollected",
        "from pipeline.leaving import leave",
        f"with lasting(): import {own}",
    ]
    if own != ", ".join(modules):  # as icsd.tracking.store
        lines.append(f"with uncollected(): import {', '.join(MLFLOW)}")
    return "\n".join([*lines, "leave(0)"])


def cpu_seconds(code: str) -> float:
    """User and system time of a process."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def shares(modules: tuple[str, ...], *, largest: int = 5) -> str:
    """The packages that take most of the import time, with their milliseconds."""
    code = program(modules, fast=True)
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True)
    own: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if found := re.fullmatch(r"import time:\s*(\d+) \|\s*\d+ \|\s*([\w.]+)", line):
            own[found[2].split(".")[0]] += int(found[1])
    return ", ".join(f"{name} {microseconds / 1000:.0f}" for name, microseconds in own.most_common(largest))


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round of two stages")
    arguments = parser.parse_args()
    names = ["download", "preprocess"] if arguments.quick else list(STAGES)
    cases = {name: STAGES[name] + (MLFLOW if name in TRACKED else ()) for name in names}
    if not arguments.quick:
        cases = {FLOOR: ("torch",), **cases}
    times: dict[tuple[str, bool], list[float]] = {
        (name, fast): [] for name in cases for fast in (True, False)
    }
    for _ in range(1 if arguments.quick else arguments.rounds):
        for (name, fast), found in times.items():
            found.append(cpu_seconds(program(cases[name], fast=fast)))
    rows = []
    for name, modules in cases.items():
        quick, plain = (statistics.median(times[name, way]) for way in (True, False))
        rows.append((name, f"{plain:.2f} s", f"{quick:.2f} s", f"{plain / quick:.2f}", shares(modules)))
    print(
        section(
            "Start-up",
            "CPU seconds (user and system) of a process that performs only the imports of a stage: the "
            "usual way, and the way of this project's entry point, which does not load torch's compiler, "
            "disables garbage collection during imports and exempts from it what a stage has imported, lists "
            "plugins once, and exits without destroying every object. Stages that record include the MLflow "
            "client with its local store. The target is 2.5 s.",
            ("stage", "Python's way", "the entry's", "ratio", "packages, ms of the entry's imports"),
            rows,
        )
    )


if __name__ == "__main__":
    main()
