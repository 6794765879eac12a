"""Stage ``download``: the dataset's archives, verified, below data/<dataset>/raw."""

from pathlib import Path

from icsd.datasets.fetch import sources
from icsd.runs import raw_folder, state_root
from icsd.stages.validate import checked_params


def download(root: Path) -> None:
    """Fetch the archives from ``data.source``, a folder of datasets ($ICSD_DATASETS) or the preset's URLs."""
    params = checked_params(root)
    wanted: list[sources.Source] = []
    if params.data.generated is None:
        preset = [source.model_dump(exclude_none=True) for source in params.data.sources]
        wanted = sources.resolve_source(params.data.reader, params.data.source, preset)
    # Unfinished downloads are kept with the resume state: DVC deletes the output before the next attempt.
    partial = state_root() / "downloads" / params.dataset
    sources.download(
        params.data.reader, sources=wanted, destination=root / raw_folder(params.dataset), partial=partial
    )
