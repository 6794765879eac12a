"""Write tables, figures and report.html, and the summary of this execution into MLflow.

example: python -m pipeline.report
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Run the stage in the working directory."""
    argparse.ArgumentParser(
        prog="python -m pipeline.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    from icsd.stages.report import report

    report(Path.cwd())


if __name__ == "__main__":
    run(main)
