"""Stages ``evaluate_*``: networks on the reported split, as numbers in files and in their MLflow runs."""

from pathlib import Path

from icsd.errors import UserError
from icsd.files import folder_written_whole, sha256_of
from icsd.models.weights import load_network
from icsd.params import Params
from icsd.records import DivergedRecord, TrainRecord, read_record, write_record
from icsd.runs import RunKey
from icsd.stages.evaluation.measurement import Evaluation, measure, open_evaluation
from icsd.stages.evaluation.outputs import write_result
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.guard import guarded
from icsd.stages.recording.evaluation import record_measurement
from icsd.stages.trained import check_trained
from icsd.stages.validate import checked_params

ADVICE = "lower {block}.lr, or set {block}.clip_norm, and train it again"


def evaluate_teacher(root: Path) -> None:
    """Measure the teacher of the dataset.

    Raises:
        UserError: The teacher is missing, or its training diverged.
    """
    params = checked_params(root)
    key = teacher_key(params)
    _evaluate(root, params, [key], output=key.results, with_teacher=False)


def evaluate_students(root: Path, *, method: str) -> None:
    """Measure every student of the grid that was trained with ``method``.

    A student whose training diverged has no score: diverged.json is written instead, and the report shows a
    gap. Divergence is a result, so it does not stop the measurement of the other students.

    Raises:
        UserError: The method is not in the grid, or a network is missing.
    """
    params = checked_params(root)
    if method not in params.grid.methods:
        raise UserError(
            f"--method {method}: not in the grid of params.yaml ({', '.join(params.grid.methods)})"
        )
    keys = student_keys(params, [method])
    _evaluate(root, params, keys, output=Path("results") / params.dataset / method, with_teacher=True)


def _evaluate(root: Path, params: Params, keys: list[RunKey], *, output: Path, with_teacher: bool) -> None:
    """Measure networks; ``output`` receives the results of all of them or stays unchanged."""
    with guarded(root, output), folder_written_whole(root / output) as unfinished:
        for key in {*keys, teacher_key(params)}:
            check_trained(root, key)
        evaluation = open_evaluation(root, params, with_teacher=with_teacher)
        for key in keys:
            _evaluate_one(evaluation, key, unfinished / key.results.relative_to(output))


def _evaluate_one(evaluation: Evaluation, key: RunKey, folder: Path) -> None:
    if diverged := divergence_of(evaluation.root, key):
        write_record(folder / "diverged.json", diverged)
        print(f"{key.title}: diverged, {_reason(diverged)}", flush=True)
    else:
        measurement = measure(evaluation, key)
        write_result(folder, evaluation, measurement)
        record_measurement(evaluation, key, measurement, folder=folder)
        record = measurement.record
        print(f"{key.title}: mIoU {100 * record.miou:.2f} % on {record.num_images} images", flush=True)


def divergence_of(root: Path, key: RunKey) -> DivergedRecord | None:
    """Why a network has no score: a loss or weights that are not finite; None for one that was trained well.

    Raises:
        UserError: The network is missing or damaged, or it is the teacher, without which there is no student.
    """
    state = load_network(root / key.weights).state_dict()
    not_finite = tuple(name for name, value in state.items() if not value.isfinite().all())
    loss = read_record(root / key.folder / "train.json", TrainRecord).diverged
    if not (not_finite or loss):
        return None
    if key.is_teacher:
        raise UserError(
            f"{key.weights}: the teacher's training diverged, its weights are not finite: "
            f"{ADVICE.format(block='teacher')}"
        )
    return DivergedRecord(weights_sha256=sha256_of(root / key.weights), not_finite=not_finite, loss=loss)


def _reason(diverged: DivergedRecord) -> str:
    return (
        diverged.loss
        or f"{len(diverged.not_finite)} of its tensors are not finite: {ADVICE.format(block='train')}"
    )
