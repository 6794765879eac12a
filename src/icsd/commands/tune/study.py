"""The finished trials of a method, kept by Optuna.

Its MLflow callback is not used: it would stop the search whenever the tracking server is away.
"""

from pathlib import Path


class Study:
    """Factors and scores of one method under one set of conditions.

    Args:
        journal: Optuna's file, which holds all studies of a dataset.
        name: Of the method and of everything that determines its trials.
    """

    def __init__(self, journal: Path, name: str) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        self._study = optuna.create_study(
            study_name=name, storage=storage, direction="maximize", load_if_exists=True
        )

    @property
    def finished(self) -> dict[float, float | None]:
        """Factor -> validation mIoU, None where the training diverged."""
        return {trial.params["factor"]: trial.value for trial in self._study.get_trials(deepcopy=False)}

    def add(self, factor: float, miou: float | None, *, largest: float) -> None:
        """Record a trial when it has ended: a killed process leaves no unfinished one in the study."""
        from optuna import create_trial
        from optuna.distributions import FloatDistribution
        from optuna.trial import TrialState

        trial = create_trial(
            state=TrialState.FAIL if miou is None else TrialState.COMPLETE,
            value=miou,
            params={"factor": factor},
            distributions={"factor": FloatDistribution(1 / largest, largest, log=True)},
        )
        self._study.add_trial(trial)
