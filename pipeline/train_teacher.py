"""Train the teacher, going on after the last finished epoch of an interrupted run.

example: python -m pipeline.train_teacher
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Run the stage in the working directory."""
    argparse.ArgumentParser(
        prog="python -m pipeline.train_teacher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    from icsd.stages.training.run import train_teacher

    train_teacher(Path.cwd())


if __name__ == "__main__":
    run(main)
