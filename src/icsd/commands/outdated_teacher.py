"""A note that the teacher is not the one that params.yaml describes any more."""

from pathlib import Path

from icsd.commands.verify.checks import State, compare_parameters
from icsd.errors import UserError
from icsd.params import Params
from icsd.records import TrainRecord, read_record
from icsd.stages.grid import teacher_key


def note_outdated_teacher(root: Path, params: Params) -> None:
    """Print how params.yaml differs from what the teacher was trained with, if it does.

    Only a note: what a teacher of an earlier version did not record is a difference, too.
    """
    key = teacher_key(params)
    try:
        recorded = read_record(root / key.folder / "train.json", TrainRecord).params
    except (FileNotFoundError, UserError):  # a teacher that is missing or damaged is an error of its own
        return
    check = compare_parameters(params, key, recorded)
    if check.state is State.DIFFERS:
        print(
            f"note: params.yaml no longer describes {key.folder.as_posix()} ({'; '.join(check.details)}), "
            "which is used as it is; `dvc repro train_teacher` trains it again",
            flush=True,
        )
