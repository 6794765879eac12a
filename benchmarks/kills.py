"""A recorded campaign of kills: many rounds of ``tests.pipeline.kills``, one line each, and a summary.

``PYTHONPATH=src:. python benchmarks/kills.py --rounds 50 --kills 4``
"""

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tests.pipeline.kills import make_reference, play


def main() -> None:
    """Play the rounds; the exit code is 1 where any ended otherwise than an undisturbed run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kills", type=int, default=4, help="kills in each round")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    arguments = parser.parse_args()
    faulty, at = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        reference = make_reference(Path(folder) / "reference")
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            project = Path(folder) / f"round-{seed}"
            result = play(reference, project, seed=seed, kills=arguments.kills)
            at.update(result.kills)
            faulty += bool(result.faults)
            outcome = "; ".join(result.faults) or "as if never killed"
            print(f"round {seed}: {'; '.join(result.kills)} -> {outcome}", flush=True)
            shutil.rmtree(project)
    print(f"{arguments.rounds} rounds, {sum(at.values())} kills, {faulty} rounds with a fault")
    for name, count in sorted(at.items()):
        print(f"  {count:4d}  {name}")
    raise SystemExit(1 if faulty else 0)


if __name__ == "__main__":
    main()
