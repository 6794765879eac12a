"""The sentences about equal training time: how many epochs each method was trained for."""

from icsd.reporting.results import Results, Run
from icsd.reporting.style import method_label, network_label

HOW = (
    "Steps of the method and of the student alone were timed in turns, with the teacher running in every "
    "step, as for someone who trains only this method; validation and monitoring are not included."
)


def budget_sentences(results: Results) -> list[list[str]]:
    """A block about the epochs of every method under equal time; none under equal epochs."""
    sentences = []
    for student in results.students:
        runs = [run for run in results.runs.values() if run.student == student and run.training]
        if any(_pace(run) for run in runs):
            sentences.append(
                f"Equal time, not equal epochs: {network_label(student)} learns {_epochs(runs)}."
            )
    return [[*sentences, HOW]] if sentences else []


def _epochs(runs: list[Run]) -> str:
    """``36 epochs: Student alone; 26: AICSD (× 1.38 a step), ICSD (…)``, the most epochs first."""
    methods: dict[int, dict[str, float | None]] = {}
    for run in runs:
        if run.training:
            methods.setdefault(run.training.epochs, {})[run.method] = run.training.pace
    parts = []
    for number, epochs in enumerate(sorted(methods, reverse=True)):
        names = ", ".join(_name(method, pace) for method, pace in methods[epochs].items())
        parts.append(f"{epochs}{'' if number else ' epochs'}: {names}")
    return "; ".join(parts)


def _name(method: str, pace: float | None) -> str:
    return method_label(method) + (f" (× {pace:.2f} a step)" if pace else "")


def _pace(run: Run) -> float | None:
    return run.training.pace if run.training else None
