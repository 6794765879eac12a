"""The cost of tracking in a training, for typical servers: all cases interleaved in one run.

``PYTHONPATH=src:. python benchmarks/tracking.py``

A training is a separate process with epochs of about a second, each of which logs 20 numbers and a picture;
five files are logged at its end. ``waiting`` epochs leave the CPU idle, like training on a GPU; ``computing``
ones keep one core busy. Times are the median of the rounds; a case's ratio compares it with tracking off.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

from measuring import section
from tests.tracking.servers import Store, black_hole, nobody, serving

EPOCHS = 11
NUMBERS = 20


@contextmanager
def dying(seconds: float) -> Iterator[str]:
    """A server that dies in the middle of the training."""
    with ExitStack() as stack:
        address = stack.enter_context(serving(Store()))
        timer = threading.Timer(seconds, stack.close)
        timer.start()
        yield address
        timer.cancel()


@contextmanager
def local() -> Iterator[str]:
    """No server: the database in the checkout."""
    yield ""


CASES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "off": local,
    "local database": local,
    "server": lambda: serving(Store()),
    "server, 0.5 s an answer": lambda: serving(Store(0.5)),
    "server, 3 s an answer": lambda: serving(Store(3.0)),
    "server that never answers": black_hole,
    "server that is gone": nobody,
    "server that dies halfway": lambda: dying(8.0),
}


def train(root: Path, *, enabled: bool, steps: int, epochs: int) -> dict[str, float]:
    """Run a training in this process; return the seconds of its epochs, and of the parts before and after."""
    import numpy as np
    import torch

    from icsd.tracking import open_tracker

    torch.set_num_threads(1)
    network = torch.nn.Conv2d(16, 16, 3, padding=1)
    images = torch.randn(8, 16, 64, 64)

    def epoch() -> None:
        if not steps:
            time.sleep(1.0)
        for _ in range(steps):
            network(images).square().mean().backward()

    epoch()
    picture = np.zeros((300, 300, 3), np.uint8)
    files = [root / f"{name}.bin" for name in "abcde"]
    for file in files:
        file.write_bytes(bytes(4_000_000))
    times = [time.perf_counter()]
    with open_tracker(
        root=root, experiment="icsd-x", group="g", name="n", tags={}, state=root / ".state/x", enabled=enabled
    ) as tracker:
        tracker.rewind(0)
        tracker.params({"lr": 0.1})
        times.append(time.perf_counter())
        for number in range(1, epochs + 1):
            epoch()
            tracker.log({f"term/{index}": number / (index + 1) for index in range(NUMBERS)}, number)
            tracker.image(picture, key="similarity", step=number)
        times.append(time.perf_counter())
        for file in files:
            tracker.artifact(file)
    times.append(time.perf_counter())
    before, training, after = (end - start for start, end in pairwise(times))
    return {"before": before, "training": training, "after": after}


def measure(case: str, steps: int, epochs: int) -> dict[str, float]:
    """Run a training in its own process."""
    with tempfile.TemporaryDirectory() as folder, CASES[case]() as address:
        command = [sys.executable, __file__, "--train", folder, "--case", case]
        command += ["--steps", str(steps), "--epochs", str(epochs)]
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))
        }
        environment |= {"MLFLOW_TRACKING_URI": address} if address else {}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        numbers["warnings"] = len(done.stderr.splitlines())
        return numbers


def steps_per_second() -> int:
    """Number of steps per second that a core of this machine does."""
    import torch

    torch.set_num_threads(1)
    network, images = torch.nn.Conv2d(16, 16, 3, padding=1), torch.randn(8, 16, 64, 64)
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < 2:
        network(images).square().mean().backward()
        count += 1
    return round(count / elapsed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of two cases, two epochs each")
    parser.add_argument(
        "--kinds", nargs="+", choices=["waiting", "computing"], default=["waiting", "computing"]
    )
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        enabled, epochs = arguments.case != "off", arguments.epochs
        print(json.dumps(train(arguments.train, enabled=enabled, steps=arguments.steps, epochs=epochs)))
        return
    quick = arguments.quick
    kinds = {"waiting": 0, "computing": steps_per_second()}
    chosen = {kind: kinds[kind] for kind in (["waiting"] if quick else arguments.kinds)}
    cases = list(CASES)[:2] if quick else list(CASES)
    results: dict[tuple[str, str], list[dict[str, float]]] = {
        (case, kind): [] for case in cases for kind in chosen
    }
    for _ in range(1 if quick else arguments.rounds):
        for kind, steps in chosen.items():
            for case in cases:
                results[case, kind].append(measure(case, steps, 2 if quick else EPOCHS))
    print_section(results, cases, list(chosen))


def print_section(
    results: dict[tuple[str, str], list[dict[str, float]]], cases: list[str], kinds: list[str]
) -> None:
    """Print the measurements as a section."""

    def median(case: str, kind: str, name: str) -> float:
        return statistics.median(numbers[name] for numbers in results[case, kind])

    rows = []
    for case in cases:
        row = [case]
        for kind in kinds:
            seconds, off = median(case, kind, "training"), median("off", kind, "training")
            row += [f"{seconds:.1f} s", f"{seconds / off:.2f}"]
        after, lines = (median(case, kinds[0], name) for name in ("after", "warnings"))
        rows.append([*row, f"{after:.1f} s", f"{lines:.0f}"])
    columns = [name for kind in kinds for name in (kind, "ratio")]
    print(
        section(
            "Tracking",
            f"What tracking costs a training of {EPOCHS} epochs of a second, each of which logs {NUMBERS} "
            "numbers and a picture, and leaves five files at its end. `waiting` epochs leave the processor "
            "alone, as those on a GPU do; `computing` ones keep a core busy. A ratio compares with `off`. "
            "What a stage pays once, loading MLflow and opening its store, is in these numbers.",
            ("store", *columns, "after the last epoch", "lines printed"),
            rows,
        )
    )


if __name__ == "__main__":
    main()
