"""Tune the weights of every method with the same budget, on the validation split; no stage of the pipeline.

It writes configs/tuned/<dataset>.yaml and .csv, which `weights: tuned` in params.yaml puts to use; after an
interruption it goes on. The data must be prepared and the teacher trained: `dvc repro train_teacher`.

example: python -m pipeline.tune --methods kd aicsd
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Run the search in the working directory."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.tune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[],
        metavar="METHOD",
        help="blocks of `methods` in params.yaml (default: all of the grid that have weights)",
    )
    parser.add_argument(
        "--trials", type=int, help="students trained per method (default: tuning.trials in params.yaml)"
    )
    parser.add_argument("--student", help="a block of `networks.students` (default: the grid's first)")
    arguments = parser.parse_args()

    from icsd.commands.tune import tune

    tune(Path.cwd(), methods=arguments.methods, trials=arguments.trials, student=arguments.student)


if __name__ == "__main__":
    run(main)
