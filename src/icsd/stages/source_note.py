"""What the last download of a dataset was fetched from, and whether the user's files are still the same."""

from pathlib import Path

from icsd.datasets.fetch.choosing import resolve_source
from icsd.datasets.fetch.listing import check_unchanged, files_of
from icsd.errors import UserError
from icsd.params import Data
from icsd.runs import raw_folder, state_root
from icsd.stages.dataset import dataset_in


def source_note(dataset: str) -> Path:
    """A file with the resume state: it is of this machine, and no output."""
    return state_root() / "downloads" / f"{dataset}.json"


def check_source(root: Path, dataset: str, data: Data) -> int:
    """Compare the user's own files with those that were downloaded.

    Returns:
        How many there are; 0 where there are none, or they are gone, and nobody needs them any more.

    Raises:
        UserError: Some have changed.
    """
    reader = dataset_in(data)
    try:
        sources = resolve_source(reader, data.source, [])
    except UserError:
        return 0
    files = files_of(reader, sources)
    return len(files) if check_unchanged(source_note(dataset), root / raw_folder(dataset), files) else 0
