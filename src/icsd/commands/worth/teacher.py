"""The teacher of ``worth``: the pipeline's own, brought up to date by the pipeline."""

import subprocess
import sys
from pathlib import Path

from icsd.errors import UserError
from icsd.params import Params
from icsd.records import CostRecord, read_record
from icsd.stages.grid import teacher_key

STAGE = "train_teacher"


def bring_teacher_up_to_date(root: Path) -> None:
    """Prepare the data and train the teacher if they are missing or stale, as `dvc repro` does.

    Raises:
        UserError: A stage failed; its output says why.
    """
    command = [sys.executable, "-m", "pipeline", "run", "-j", "1", STAGE]
    done = subprocess.run(command, cwd=root, check=False)
    if done.returncode:
        raise UserError(f"there is no teacher to distil from; `dvc repro {STAGE}` must succeed first")


def seconds_of_teacher(root: Path, params: Params) -> float | None:
    """Duration of the teacher's training; None if it was not trained here."""
    try:
        cost = read_record(root / teacher_key(params).cost, CostRecord)
    except FileNotFoundError:
        return None
    return None if cost.seconds_per_epoch is None else cost.seconds_training
