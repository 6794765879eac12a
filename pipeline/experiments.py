"""Compare experiments: what each changed, and the mIoU of every method with its gain over the student alone.

Reads `dvc exp show`, whose own table has a column for every parameter and dependency. Changed parameters are
those that differ from the commit which the experiment started from.

example: python -m pipeline.experiments --methods kd aicsd
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Print the table of the repository in the working directory."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.experiments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--methods", nargs="+", metavar="METHOD", help="show these methods only (default: all)"
    )
    parser.add_argument(
        "--all-commits", action="store_true", help="experiments of all commits, not of the current one only"
    )
    parser.add_argument(
        "--csv", action="store_true", help="one row per experiment, network and method, as CSV"
    )
    arguments = parser.parse_args()

    from icsd.commands.experiments import show_experiments

    print(
        show_experiments(
            Path.cwd(),
            methods=arguments.methods,
            all_commits=arguments.all_commits,
            as_csv=arguments.csv,
        ),
        end="",
    )


if __name__ == "__main__":
    run(main)
