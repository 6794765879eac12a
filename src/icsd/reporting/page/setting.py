"""The setting of the comparison: the grid, and the labelled and unlabelled training images."""

from collections.abc import Sequence

from icsd.records import TrainRecord
from icsd.reporting.results import Results


def setting(results: Results) -> list[str]:
    """The sentences below the report's title; one about images if networks differ or some are unlabelled."""
    metrics = next((run.metrics for run in results.evaluated() if run.metrics), None)
    kinds = {"method": results.methods, "student network": results.students, "seed": results.seeds}
    grid = ", ".join(f"{len(each)} {kind}{'s' if len(each) != 1 else ''}" for kind, each in kinds.items())
    where = f", reported on {metrics.num_images} images of the split {metrics.split}" if metrics else ""
    return [f"Dataset {results.dataset}{where}; {grid}.", *_images(results)]


def _images(results: Results) -> list[str]:
    students = [run.training for run in results.runs.values() if run.training]
    teacher = results.teacher.training
    if not students:
        return []
    taught = teacher.num_train_images if teacher and teacher.epochs else None
    learnt = _counts([each.num_train_images for each in students])
    of_teacher = "" if taught is None or str(taught) == learnt else f"; the teacher learned from {taught}"
    sentence = f"Students learn from {learnt} labelled images{of_teacher}."
    if any(each.num_unlabelled_images for each in students):
        return [f"{sentence} {_unlabelled(students)}"]
    return [sentence] if of_teacher else []


def _unlabelled(students: Sequence[TrainRecord]) -> str:
    """State that only distilled students learn from these images, which is part of what is compared."""
    counts = _counts([each.num_unlabelled_images for each in students])
    return (
        f"They also see {counts} images without labels, half of every batch: methods learn the teacher's "
        "predictions for them, the student alone only BatchNorm statistics."
    )


def _counts(numbers: Sequence[int]) -> str:
    return " or ".join(str(number) for number in sorted(set(numbers)))
