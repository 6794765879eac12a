"""The finished trials of a method, stored by Optuna.

Its MLflow callback is not used: it would stop the search whenever the tracking server is away.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from icsd.errors import UserError
from icsd.files import write_bytes

_DIGEST = "sha256"
_ADVICE = (
    "move this file away and run the same command again. It trains the trials again that the file held; what "
    "configs/tuned/ has is kept"
)


class Study:
    """Factors and scores of one method under one set of conditions.

    Args:
        journal: Optuna's file, which holds all studies of a dataset.
        name: Identifies the method and everything that determines its trials.

    Raises:
        UserError: The file is damaged; the message names the line.
    """

    def __init__(self, journal: Path, name: str) -> None:
        import optuna
        from optuna.storages import JournalStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._name = name
        _drop_unfinished_line(journal)
        lines = _Lines(journal)
        try:
            storage = JournalStorage(cast(Any, lines))
            self._study = optuna.create_study(
                study_name=name, storage=storage, direction="maximize", load_if_exists=True
            )
        except OSError:
            raise
        except Exception as error:  # Optuna validates nothing, so any exception is possible
            raise _damaged(journal, lines.read + 1, f"{type(error).__name__}: {error}") from error
        # Optuna ignores a damaged last line and appends after it.
        if lines.read < journal.read_bytes().count(b"\n"):
            raise _damaged(journal, lines.read + 1, "not JSON")

    @property
    def finished(self) -> dict[float, float | None]:
        """Factor -> validation mIoU, None if the training diverged.

        Trials whose records were edited do not count.
        """
        return {
            trial.params["factor"]: trial.value
            for trial in self._study.get_trials(deepcopy=False)
            if trial.user_attrs == {_DIGEST: self._digest(trial.params.get("factor"), trial.values)}
        }

    def add(self, factor: float, miou: float | None, *, largest: float) -> None:
        """Record a finished trial; a killed process therefore leaves no unfinished one in the study."""
        from optuna import create_trial
        from optuna.distributions import FloatDistribution
        from optuna.trial import TrialState

        trial = create_trial(
            state=TrialState.FAIL if miou is None else TrialState.COMPLETE,
            value=miou,
            params={"factor": factor},
            distributions={"factor": FloatDistribution(1 / largest, largest, log=True)},
            user_attrs={_DIGEST: self._digest(factor, None if miou is None else [miou])},
        )
        self._study.add_trial(trial)

    def _digest(self, factor: object, values: object) -> str:
        return hashlib.sha256(repr((self._name, factor, values)).encode()).hexdigest()


class _Lines:
    """Optuna's journal, with the number of lines that Optuna could read."""

    def __init__(self, journal: Path) -> None:
        from optuna.storages.journal import JournalFileBackend

        self._file = JournalFileBackend(str(journal))
        self.read = 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        self.read = log_number_from
        for log in self._file.read_logs(log_number_from):
            yield log
            self.read += 1

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._file.append_logs(logs)


def _drop_unfinished_line(journal: Path) -> None:
    """Remove the line that a killed process was writing: Optuna would append to it."""
    content = journal.read_bytes() if journal.exists() else b""
    if content and not content.endswith(b"\n"):
        write_bytes(journal, content[: content.rfind(b"\n") + 1])


def _damaged(journal: Path, line: int, reason: str) -> UserError:
    return UserError(f"{journal}: line {line} is damaged ({reason[:100]}); {_ADVICE}")
