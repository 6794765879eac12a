"""Stages ``evaluate_*``: networks on the reported split, as numbers in files and in their MLflow runs."""

import shutil
from pathlib import Path

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.models.weights import load_network
from icsd.params import Params
from icsd.records import DivergedRecord, TrainRecord, read_record, write_record
from icsd.runs import RunKey
from icsd.stages.evaluation.measurement import measure, open_evaluation
from icsd.stages.evaluation.outputs import write_result
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.recording.evaluation import record_measurement
from icsd.stages.validate import checked_params

ADVICE = "lower the learning rate or the weights of its losses, or set clip_norm, and train it again"


def evaluate_teacher(root: Path) -> None:
    """Measure the teacher of the dataset.

    Raises:
        UserError: The teacher is missing, or its training diverged.
    """
    params = checked_params(root)
    _evaluate(root, params, [teacher_key(params)], with_teacher=False)


def evaluate_students(root: Path, *, method: str) -> None:
    """Measure every student of the grid that was trained with ``method``.

    A student whose training diverged has no score: it leaves diverged.json instead of numbers, and the report
    shows a gap. A method that diverges is a result, and does not keep the others from theirs.

    Raises:
        UserError: The method is not in the grid, or a network is missing.
    """
    params = checked_params(root)
    if method not in params.grid.methods:
        raise UserError(
            f"--method {method}: not in the grid of params.yaml ({', '.join(params.grid.methods)})"
        )
    shutil.rmtree(root / "results" / params.dataset / method, ignore_errors=True)
    _evaluate(root, params, student_keys(params, [method]), with_teacher=True)


def _evaluate(root: Path, params: Params, keys: list[RunKey], *, with_teacher: bool) -> None:
    evaluation = open_evaluation(root, params, with_teacher=with_teacher)
    for key in keys:
        if diverged := divergence_of(root, key):
            write_record(root / key.results / "diverged.json", diverged)
            print(f"{key.title}: diverged, {_reason(diverged)}", flush=True)
            continue
        measurement = measure(evaluation, key)
        write_result(root / key.results, evaluation, measurement)
        record_measurement(evaluation, key, measurement)
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
            f"{key.weights}: the teacher's training diverged, its weights are not finite: {ADVICE}"
        )
    return DivergedRecord(weights_sha256=sha256_of(root / key.weights), not_finite=not_finite, loss=loss)


def _reason(diverged: DivergedRecord) -> str:
    return diverged.loss or f"{len(diverged.not_finite)} of its tensors are not finite: {ADVICE}"
