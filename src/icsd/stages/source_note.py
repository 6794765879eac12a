"""Where a dataset was last downloaded from, and whether the user's files have changed since."""

from pathlib import Path

from icsd.datasets.fetch.choosing import resolve_source
from icsd.datasets.fetch.listing import check_unchanged, files_of
from icsd.errors import UserError
from icsd.params import Data
from icsd.runs import raw_folder, state_root
from icsd.stages.dataset import dataset_in


def source_note(dataset: str) -> Path:
    """The file of the note, kept with the resume state: it belongs to this machine and is not an output."""
    return state_root() / "downloads" / f"{dataset}.json"


def check_source(root: Path, dataset: str, data: Data) -> int:
    """Compare the user's own files with those that were downloaded.

    Returns:
        The number of the user's files; 0 if there are none, or if they are gone and no longer needed.

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
