"""Stage ``preprocess``: shards, manifest and the doctor's findings below data/<dataset>/processed."""

from pathlib import Path

from icsd.datasets import Dataset, Shapes
from icsd.datasets.fetch.choosing import resolve_source
from icsd.datasets.fetch.listing import check_unchanged, files_of
from icsd.datasets.findings import Findings
from icsd.datasets.preparation import check_complete
from icsd.datasets.preparation import preprocess as preprocess_data
from icsd.errors import UserError
from icsd.files import exclusive
from icsd.params import Params
from icsd.runs import data_folder, raw_folder
from icsd.stages.dataset import dataset_in
from icsd.stages.source_note import source_note
from icsd.stages.validate import checked_params


def preprocess(root: Path) -> None:
    """Turn what was downloaded or is generated into the splits train, validation and report."""
    params = checked_params(root)
    dataset = dataset_in(params.data)
    processed = root / data_folder(params.dataset)
    with exclusive(
        processed.with_name("preprocess.lock"), waiting=f"another process prepares {params.dataset}"
    ):
        _check_source(root, params, dataset)
        findings = _preprocess(root, params, dataset)
        check_complete(processed)
    for warning in findings.warnings:
        print(f"warning: {warning}", flush=True)


def _check_source(root: Path, params: Params, dataset: Dataset | Shapes) -> None:
    """Raises UserError where the user's own files are not those that were downloaded any more."""
    try:
        sources = resolve_source(dataset, params.data.source, [])
    except UserError:
        return  # they are gone, and nobody needs them any more
    files = files_of(dataset, sources)
    check_unchanged(source_note(params.dataset), root / raw_folder(params.dataset), files)


def _preprocess(root: Path, params: Params, dataset: Dataset | Shapes) -> Findings:
    data, generated = params.data, params.data.generated
    splits = {"train": data.splits.train, "validation": data.splits.validation, "report": data.splits.report}
    return preprocess_data(
        dataset,
        root / raw_folder(params.dataset),
        root / data_folder(params.dataset),
        splits={role: split for role, split in splits.items() if split is not None},
        holdout=data.holdout,
        seed=generated.seed if generated else 0,
        generated_sizes=(
            {"train": generated.train, "validation": generated.val, "report": generated.test}
            if generated
            else None
        ),
        image_size=generated.size if generated else 96,
    )
