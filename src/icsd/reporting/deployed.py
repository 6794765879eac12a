"""Reads what the stage ``deploy`` wrote; if it exported nothing, the report says nothing about files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from icsd.arrays import read_arrays
from icsd.deployed import RECORD, DeployedStudent, DeploymentRecord, FileForm, deployed_folder
from icsd.errors import UserError
from icsd.records import read_record
from icsd.reporting.results import Results, Run

ADVICE = "run `dvc repro deploy`"


@dataclass(frozen=True, eq=False)
class Deployed:
    """The champions' exported files.

    Attributes:
        record: What the stage wrote about them.
        runs: Student -> the champion's run.
        confusion: (student, format) -> [images, C, C], one matrix per image of the reported split.
    """

    record: DeploymentRecord
    runs: Mapping[str, Run]
    confusion: Mapping[tuple[str, str], NDArray[np.int64]]


def load_deployed(root: Path, results: Results) -> Deployed | None:
    """Load the exported files of the champions of ``results``; None if there are none.

    Raises:
        UserError: A file is malformed, or belongs to other networks or images than the results.
    """
    folder = root / deployed_folder(results.dataset)
    try:
        record = read_record(folder / RECORD, DeploymentRecord)
    except FileNotFoundError:
        return None
    if not record.students:
        return None
    runs = {each.student: _run(results, each, folder) for each in record.students}
    confusion: dict[tuple[str, str], NDArray[np.int64]] = {
        (each.student, file.format): _counts(folder / each.student, file, runs[each.student])
        for each in record.students
        for file in each.files
    }
    return Deployed(record, runs, confusion)


def _run(results: Results, deployed: DeployedStudent, folder: Path) -> Run:
    run = results.runs.get((deployed.student, deployed.method, deployed.seed))
    if run is None or run.metrics is None or run.metrics.weights_sha256 != deployed.weights_sha256:
        raise UserError(
            f"{folder / RECORD}: the files of {deployed.student} are of another network than "
            f"results/{results.dataset}; {ADVICE}"
        )
    return run


def _counts(folder: Path, file: FileForm, run: Run) -> NDArray[np.int64]:
    arrays = read_arrays(folder / file.confusion, {"confusion": ("integer", 3), "ids": ("text", 1)})
    counts, ids = arrays["confusion"], tuple(str(name) for name in arrays["ids"])
    if ids != run.ids or run.confusion is None or counts.shape != run.confusion.shape:
        raise UserError(
            f"{folder / file.confusion}: was measured on other images or classes than the results; {ADVICE}"
        )
    return counts.astype(np.int64)
