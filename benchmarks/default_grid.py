"""The default grid from a fresh clone to its report: ``dvc repro`` and ``run -j 2``, and an older commit.

    PYTHONPATH=src:. python benchmarks/default_grid.py [--against COMMIT] [--rounds 1]

Every run is a new clone without data, networks and caches, in the environment that runs this script, so that
installing packages does not count. ``--against`` adds ``dvc repro`` at another commit, with the default of
that commit. Defaults change, so what is compared with it is the amount of training per second: training
images, once per epoch in which a network sees them, over the seconds of the whole run. Half an hour per round
on two cores; ``--quick`` uses the tests' smallest grid.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from measuring import section
from tests.project import environment, make_project

ROOT = Path(__file__).resolve().parent.parent
REPRO = [sys.executable, "-m", "dvc", "repro", "-q"]
RUN = [sys.executable, "-m", "pipeline", "run", "-j", "2"]
TEXT = (
    "A fresh clone, from `validate` to the report, without installing packages. Images: how many training "
    "images all networks of the grid see, in all epochs. The scores of both commands, reports/metrics.json, "
    "are the same bytes."
)
HEADER = ["command", "networks", "images", "s", "images / s", "ratio"]


class Outcome(NamedTuple):
    """What one run of a grid took and made."""

    seconds: float
    networks: int
    images: float
    scores: bytes


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", metavar="COMMIT", help="also run `dvc repro` at this commit")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    new = _smallest if options.quick else partial(_clone, commit="HEAD")
    present = {"`dvc repro`": (new, REPRO), "`run -j 2`": (new, RUN)}
    then = f"`dvc repro` at {options.against}"
    former = {then: (partial(_clone, commit=options.against), REPRO)} if options.against else {}
    variants = former | present
    found: dict[str, list[Outcome]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, (make, command) in variants.items():
            found[name].append(_measure(make, command))
    scores = {each.scores for name in present for each in found[name]}
    if len(scores) != 1:
        raise SystemExit("the two commands end with different scores in reports/metrics.json")
    print(section("The default grid", TEXT, HEADER, _rows(found)))


def _rows(found: dict[str, list[Outcome]]) -> Sequence[Sequence[object]]:
    rates = {name: statistics.median(each.images / each.seconds for each in of) for name, of in found.items()}
    first = next(iter(rates.values()))
    return [
        [
            name,
            of[0].networks,
            f"{of[0].images:,.0f}",
            f"{statistics.median(each.seconds for each in of):.0f}",
            f"{rates[name]:.0f}",
            f"{rates[name] / first:.2f}",
        ]
        for name, of in found.items()
    ]


def _measure(make: Callable[[Path], Path], command: list[str]) -> Outcome:
    with tempfile.TemporaryDirectory() as temporary:
        project = make(Path(temporary) / "project")
        started = time.perf_counter()
        done = subprocess.run(
            command, cwd=project, env=environment(project), capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        costs = [json.loads(path.read_bytes()) for path in sorted((project / "costs").rglob("*.json"))]
        trained = [each for each in costs if each.get("images_per_second")]  # others cost without training
        images = sum(each["images_per_second"] * each["seconds_training"] for each in trained)
        return Outcome(seconds, len(trained), images, (project / "reports/metrics.json").read_bytes())


def _smallest(folder: Path) -> Path:
    project = make_project(folder, grid={"baselines": ["none"], "distilled": [], "seeds": [0]})
    _git("init", "--quiet", str(project))
    return project


def _clone(folder: Path, *, commit: str) -> Path:
    _git("clone", "--quiet", "--no-checkout", str(ROOT), str(folder))
    _git("-C", str(folder), "checkout", "--quiet", "--detach", _git("-C", str(ROOT), "rev-parse", commit))
    shutil.rmtree(folder / "reports", ignore_errors=True)  # or a report that nobody drew could be read
    return folder


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
