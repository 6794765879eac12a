"""Check the whole of params.yaml and of the dataset's preset.

example: python -m pipeline.validate --show
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Write data/<dataset>/validated, or end with every mistake that was found."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.validate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--show", action="store_true", help="print the resolved tree, preset and overrides merged"
    )
    arguments = parser.parse_args()

    from icsd.stages.validate import validate

    validate(Path.cwd(), show=arguments.show)


if __name__ == "__main__":
    run(main)
