"""Train one student under adaptive loss weighting, going on after the last finished epoch.

example: python -m pipeline.distill --method aicsd --student resnet18 --seed 0
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Run one item of the stage's matrix in the working directory."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.distill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--method", required=True, help="a block of `methods` in params.yaml")
    parser.add_argument("--student", required=True, help="a block of `networks.students` in params.yaml")
    parser.add_argument(
        "--seed", required=True, type=int, help="seed of initial weights, order and augmentation"
    )
    arguments = parser.parse_args()

    from icsd.stages.training.run import train_student

    train_student(Path.cwd(), method=arguments.method, student=arguments.student, seed=arguments.seed)


if __name__ == "__main__":
    run(main)
