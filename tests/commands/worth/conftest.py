"""A tiny project with a teacher, in which a fake replaces the real training."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from icsd.commands.worth import run, trainings
from icsd.training.loop import Progress


class Killed(Exception):
    """Simulates that the process is killed at the point where it is raised."""


@dataclass
class MadeUp:
    """Fake training: scores are drawn by method and seed, and durations follow from the epochs.

    Attributes:
        gains: Method -> gain, points.
        deviation: Standard deviation of a score over seeds, points.
        seconds: Method -> seconds per epoch.
        diverging: Method and seed of runs that diverge.
        dies_after: Number of runs that finish before the process is killed.
        calls: The runs that were trained, with their epochs, without rehearsals.
        rehearsals: The runs that were rehearsed.
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
    """The fake training, in the project that is the working directory."""
    training = MadeUp()
    monkeypatch.setattr(trainings, "train_trial", training)
    monkeypatch.setattr(run, "bring_teacher_up_to_date", lambda root: None)
    return training


@pytest.fixture
def ask(taught, capsys):
    """Function that runs ``worth`` in the project and returns its output."""

    def asked(*methods, **options):
        given = {"student": None, "margin": None, "hours": None, "max_seeds": 20, "out": None} | options
        capsys.readouterr()
        run.worth(taught, methods=methods or ("kd", "dist"), **given)
        return capsys.readouterr().out

    return asked
