"""Fetch and verify the dataset's archives: from a URL, a local archive or a local folder (data.source).

example: python -m pipeline.download
"""

import argparse
from pathlib import Path

from pipeline import run


def main() -> None:
    """Run the stage in the working directory."""
    argparse.ArgumentParser(
        prog="python -m pipeline.download",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    from icsd.stages.download import download

    download(Path.cwd())


if __name__ == "__main__":
    run(main)
