"""The answer that docs/worth.md shows follows from the runs that it was made from."""

import shlex

import pytest
from tests.docs.blocks import block
from tests.project import change

from icsd.commands.worth import trainings
from icsd.training.loop import Progress

SHOWN = block("docs/worth.md", "$ python -m pipeline worth")
SECONDS = {"none": 1.2779897, "kd": 1.5007262, "cwd": 1.4631852}
"""Of an epoch, as they were measured."""
GAINS = {
    "kd": [8.0840762, 6.8547990, 4.4170450, 6.3618672],
    "cwd": [13.2116016, 12.1356804, 7.1164605, 9.8596029],
}
"""Points over the student alone, with the seeds from 1001 on."""


def training(root, job, *, open_tracker):
    """The training as the page's real run reported it."""
    method, seed, epochs = job.key.method, job.key.seed, job.training.epochs
    seconds = SECONDS[method] * epochs
    if job.params.runtime.teacher_cache == "off":
        return Progress(history=[{"val/miou": 0.1}], seconds=seconds)
    gain = GAINS[method][seed - 1001] if method in GAINS else 0.0
    return Progress(epoch=epochs, history=[{"val/miou": 0.3 + gain / 100}], seconds=seconds)


@pytest.mark.usefixtures("made_up")
def test_the_page_shows_what_these_trainings_give(taught, ask, monkeypatch):
    change(taught, train={"epochs": 36})
    monkeypatch.setattr(trainings, "train_trial", training)
    [command] = SHOWN.commands
    program, _, out = command.rpartition(" --out ")
    printed = ask(*shlex.split(program)[4:], out=taught / out).replace(str(taught / out), out)
    lines = [line for line in printed.splitlines() if not line.startswith("seed ")]
    assert without_hours(lines) == without_hours(SHOWN.printed)


def without_hours(lines):
    """The lines without hours, which depend on the machine."""
    return [line.partition(". It took ")[0] for line in lines if not line.startswith("on either side")]
