"""Map labels to train ids, write shards and a manifest, and let the doctor examine them.

example: python -m pipeline.preprocess
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Run the stage in the working directory."""
    argparse.ArgumentParser(
        prog="python -m pipeline.preprocess",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    from icsd.stages.preprocess import preprocess

    preprocess(Path.cwd())


if __name__ == "__main__":
    run(main)
