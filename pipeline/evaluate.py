"""Measure the teacher, or all students of a method, on the reported split.

example: python -m pipeline.evaluate --method aicsd
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Run one item of the stage's matrix in the working directory."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--method", required=True, help="`teacher`, or a method of the grid in params.yaml")
    arguments = parser.parse_args()

    from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher

    if arguments.method == "teacher":
        evaluate_teacher(Path.cwd())
    else:
        evaluate_students(Path.cwd(), method=arguments.method)


if __name__ == "__main__":
    run(main)
