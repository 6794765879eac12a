"""Stage ``preprocess``: shards, manifest and the doctor's findings below data/<dataset>/processed."""

from pathlib import Path

from icsd.datasets.preparation import preprocess as preprocess_data
from icsd.runs import data_folder, raw_folder
from icsd.stages.validate import checked_params


def preprocess(root: Path) -> None:
    """Turn what was downloaded or is generated into the splits train, validation and report."""
    params = checked_params(root)
    data, generated = params.data, params.data.generated
    splits = {"train": data.splits.train, "validation": data.splits.validation, "report": data.splits.report}
    findings = preprocess_data(
        data.reader,
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
    for warning in findings.warnings:
        print(f"warning: {warning}", flush=True)
