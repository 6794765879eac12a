"""A tiny project with a teacher, in which a made-up training stands for the real one."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from icsd.commands.worth import run, trainings
from icsd.training.loop import Progress


class Killed(Exception):
    """Stands for the end of the process at the point where it is raised."""


@dataclass
class MadeUp:
    """Trains nothing: its scores are drawn for method and seed, and its seconds follow from the epochs.

    Attributes:
        gains: Of the methods, points.
        deviation: Of a score over seeds, points.
        seconds: Of an epoch, by method.
        diverging: Method and seed of trainings that diverge.
        dies_after: So many trainings are finished before the process ends.
        calls: What was trained, with its epochs; the rehearsal apart.
        rehearsals: What was rehearsed.
    """

    gains: dict[str, float] = field(default_factory=lambda: {"kd": 3.0, "dist": 2.0})
    deviation: float = 0.2
    seconds: dict[str, float] = field(default_factory=lambda: {"none": 1.0, "kd": 1.5, "dist": 2.0})
    diverging: set[tuple[str, int]] = field(default_factory=set)
    dies_after: int | None = None
    calls: list[tuple[str, int, int]] = field(default_factory=list)
    rehearsals: list[str] = field(default_factory=list)

    def __call__(self, root, job, *, open_tracker):
        method, seed, epochs = job.key.method, job.key.seed, job.training.epochs
        seconds = self.seconds[method] * epochs
        if job.params.runtime.teacher_cache == "off":
            slow = 10.0 * (self.rehearsals.count(method) % 2 == 0)  # something else runs in the first round
            self.rehearsals.append(method)
            return Progress(history=[{"val/miou": 0.1}], seconds=seconds + slow)
        if len(self.calls) == self.dies_after:
            raise Killed
        self.calls.append((method, seed, epochs))
        if (method, seed) in self.diverging:
            raise FloatingPointError("epoch 2: loss total is not finite")
        drawn = np.random.default_rng([seed, *method.encode()]).normal(0, self.deviation)
        miou = 0.3 + (self.gains.get(method, 0.0) + drawn) / 100
        return Progress(epoch=epochs, history=[{"val/miou": miou}], seconds=seconds)


@pytest.fixture
def made_up(taught, monkeypatch):
    """The training that stands for the real one, in the working directory."""
    training = MadeUp()
    monkeypatch.setattr(trainings, "train_trial", training)
    monkeypatch.setattr(run, "bring_teacher_up_to_date", lambda root: None)
    return training


@pytest.fixture
def ask(taught, capsys):
    """Asks in the project, and returns what is printed."""

    def asked(*methods, **options):
        given = {"student": None, "margin": None, "hours": None, "max_seeds": 20, "out": None} | options
        capsys.readouterr()
        run.worth(taught, methods=methods or ("kd", "dist"), **given)
        return capsys.readouterr().out

    return asked
