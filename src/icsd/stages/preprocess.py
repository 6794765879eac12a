"""Stage ``preprocess``: shards, manifest and the doctor's findings below data/<dataset>/processed."""

from pathlib import Path

from icsd.datasets import Dataset, Shapes
from icsd.datasets.findings import Findings
from icsd.datasets.preparation import check_complete
from icsd.datasets.preparation import preprocess as preprocess_data
from icsd.files import exclusive
from icsd.params import Params
from icsd.runs import data_folder, raw_folder
from icsd.stages.dataset import dataset_in
from icsd.stages.source_note import check_source
from icsd.stages.validate import checked_params


def preprocess(root: Path) -> None:
    """Turn downloaded or generated data into the splits train, validation and report."""
    params = checked_params(root)
    dataset = dataset_in(params.data)
    processed = root / data_folder(params.dataset)
    with exclusive(
        processed.with_name("preprocess.lock"), waiting=f"another process prepares {params.dataset}"
    ):
        check_source(root, params.dataset, params.data)
        findings = _preprocess(root, params, dataset)
        check_complete(processed)
    for warning in findings.warnings:
        print(f"warning: {warning}", flush=True)


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
