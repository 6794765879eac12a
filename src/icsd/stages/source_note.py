"""Where it is written down what the last download of a dataset was fetched from."""

from pathlib import Path

from icsd.runs import state_root


def source_note(dataset: str) -> Path:
    """A file with the resume state: it is of this machine, and no output."""
    return state_root() / "downloads" / f"{dataset}.json"
