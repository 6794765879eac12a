"""A recorded campaign of kills: many rounds of ``tests.pipeline.kills``, one line each, and a summary.

``PYTHONPATH=src:. python benchmarks/kills.py --kills 200``
"""

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tests.pipeline.kills import COMMANDS, make_reference, play


def main() -> None:
    """Run the rounds; the exit code is 1 if the result of any differs from an undisturbed run's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--command", choices=COMMANDS, default="dvc repro", help="what is killed")
    parser.add_argument("--kills", type=int, default=200, help="rounds are played until there are so many")
    parser.add_argument("--most", type=int, default=20, help="kills in one round")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--keep", type=Path, help="folder for the projects of rounds with a fault")
    arguments = parser.parse_args()
    faulty, repairs, seed, kills = 0, 0, arguments.seed, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        reference = make_reference(Path(folder) / "reference")
        while kills.total() < arguments.kills and faulty < 10:
            project = Path(folder) / f"round-{seed}"
            result = play(reference, project, command=arguments.command, seed=seed, kills=arguments.most)
            kills.update(result.kills)
            repairs += result.repairs
            faulty += bool(result.faults)
            outcome = "; ".join(result.faults) or "as if never killed"
            print(f"round {seed}: {'; '.join(result.kills)} -> {outcome}", flush=True)
            if result.faults and arguments.keep:
                shutil.copytree(project, arguments.keep / project.name, symlinks=True)
            shutil.rmtree(project)
            seed += 1
    print(
        f"{seed - arguments.seed} rounds, {kills.total()} kills, "
        f"DVC's own files repaired {repairs} times, {faulty} rounds with a fault"
    )
    for part in ("whom and how", "where"):
        counts = Counter[str]()
        for kill, count in kills.items():
            way, _, place = kill.partition(" in ")
            counts[way if part == "whom and how" else place] += count
        print(f"{part}:", ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    raise SystemExit(1 if faulty else 0)


if __name__ == "__main__":
    main()
