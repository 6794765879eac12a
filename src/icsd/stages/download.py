"""Stage ``download``: the dataset's archives, verified, below data/<dataset>/raw."""

from pathlib import Path

from icsd.datasets.fetch.choosing import Source, resolve_source
from icsd.datasets.fetch.download import download as download_archives
from icsd.datasets.fetch.listing import files_of, remember
from icsd.files import exclusive
from icsd.runs import raw_folder, state_root
from icsd.stages.dataset import dataset_in
from icsd.stages.source_note import source_note
from icsd.stages.validate import checked_params


def download(root: Path) -> None:
    """Fetch the archives from ``data.source``, a folder of datasets ($ICSD_DATASETS) or the preset's URLs."""
    params = checked_params(root)
    dataset = dataset_in(params.data)
    # Unfinished downloads are kept with the resume state: DVC deletes the output before the next attempt.
    partial = state_root() / "downloads" / params.dataset
    with exclusive(
        partial.with_name(f"{params.dataset}.lock"),
        waiting=f"another process downloads {params.dataset}",
    ):
        sources: list[Source] = []
        if params.data.generated is None:
            preset = [source.model_dump(exclude_none=True) for source in params.data.sources]
            sources = resolve_source(dataset, params.data.source, preset)
        raw = root / raw_folder(params.dataset)
        files = files_of(dataset, sources)
        warnings = download_archives(dataset, sources=sources, destination=raw, partial=partial)
        remember(source_note(params.dataset), raw, files)
    for warning in warnings:
        print(f"warning: {warning}", flush=True)
