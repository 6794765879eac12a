"""The teacher of ``worth``: the pipeline's own, brought up to date by the pipeline."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from icsd.commands.run.node import end_with_parent
from icsd.commands.signals import handled
from icsd.params import Params
from icsd.records import CostRecord, read_record
from icsd.stages.grid import teacher_key

STAGE = "train_teacher"
_INTERRUPTED, _TERMINATED, _KILLED = 130, 143, 1


def bring_teacher_up_to_date(root: Path) -> None:
    """Prepare the data and train the teacher if they are missing or stale, as `dvc repro` does.

    A signal is passed on to the pipeline, which saves its state before this returns. If this process is
    killed, the pipeline stops as well.

    Raises:
        KeyboardInterrupt: The pipeline was interrupted.
        SystemExit: It failed, after a message; the code is that of the stage.
    """
    command = [sys.executable, "-m", "pipeline", "run", "-j", "1", STAGE]
    # In its own process group: Ctrl-C in a terminal would reach it twice, and a second one kills the stages.
    with subprocess.Popen(command, cwd=root, process_group=0, preexec_fn=end_with_parent) as process:

        def pass_on(number: int, _: FrameType | None) -> None:
            with suppress(ProcessLookupError):
                process.send_signal(number)

        with handled(pass_on):
            code = process.wait()
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    if code == _TERMINATED:
        sys.exit(_TERMINATED)
    if code:
        how = "was killed" if code < 0 else "failed, for the reason above"
        print(
            f"error: `python -m pipeline run {STAGE}` {how}, and without its teacher no student can be "
            "distilled; when that is mended, run the same command again",
            file=sys.stderr,
            flush=True,
        )
        sys.exit(code if code > 0 else _KILLED)


def seconds_of_teacher(root: Path, params: Params) -> float | None:
    """Duration of the teacher's training; None if it was not trained here."""
    try:
        cost = read_record(root / teacher_key(params).cost, CostRecord)
    except FileNotFoundError:
        return None
    return None if cost.seconds_per_epoch is None else cost.seconds_training
