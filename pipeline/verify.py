"""Say whether rows of the report still hold: what they were made of, and their numbers measured again.

Compares source files, parameters, data, teacher and weights with what training recorded, the report with the
results, and then evaluates the stored network again and compares every number to the last digit. Writes
nothing. Exit code 0: all hold; 1: something differs; 2: something is missing.

example: python -m pipeline.verify --method kd --student resnet18 --seed 0
"""

import argparse
import sys
from pathlib import Path

from pipeline import run


def main() -> None:
    """Check every row of the grid in the working directory, or those that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--method", help="`teacher`, or a method of the grid in params.yaml")
    parser.add_argument("--student", help="a network of the grid")
    parser.add_argument("--seed", type=int, help="a seed of the grid")
    arguments = parser.parse_args()

    from icsd.commands.verify import verify

    sys.exit(verify(Path.cwd(), method=arguments.method, student=arguments.student, seed=arguments.seed))


if __name__ == "__main__":
    run(main)
