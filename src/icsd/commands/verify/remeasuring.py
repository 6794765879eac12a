"""Measures a stored network again and compares every number that its evaluation stored."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from icsd.arrays import read_arrays
from icsd.commands.verify.checks import Check, State, check_of, differences_of, relative_message
from icsd.errors import UserError
from icsd.params import Params
from icsd.records import CostRecord, MetricsRecord, read_record
from icsd.runs import RunKey
from icsd.stages.device import device_name
from icsd.stages.evaluation.measurement import Evaluation, measure, open_evaluation
from icsd.stages.evaluation.outputs import arrays_of

_DIGESTS = {"weights_sha256", "teacher_sha256"}
"""Fields of metrics.json that have their own checks."""


def measure_again(root: Path, params: Params, key: RunKey, recorded: MetricsRecord) -> Check:
    """Repeat the evaluation with the code of its stage, and compare every number to the last digit."""
    try:
        evaluation = open_evaluation(root, params, with_teacher=not key.is_teacher)
        differences = list(_differences(evaluation, key, recorded))
    except UserError as error:
        return Check("numbers", State.DIFFERS, (relative_message(root, error),))
    same = (
        f"measured again on {recorded.num_images} images, every stored number is the same; "
        f"mIoU {100 * recorded.miou:.6g} %"
    )
    check = check_of("numbers", differences, same=same)
    if not differences:
        return check
    return replace(check, details=(*check.details, _machines(root / key.cost, evaluation.device)))


def _differences(evaluation: Evaluation, key: RunKey, recorded: MetricsRecord) -> Iterator[str]:
    measurement = measure(evaluation, key)
    for file, arrays in arrays_of(measurement.arrays, evaluation.split).items():
        stored = read_arrays(evaluation.root / key.results / file)
        for name, now in arrays.items():
            yield from _array_differences(f"{file}: {name}", stored.get(name), now)
    before, after = (
        record.model_dump(mode="json", by_alias=True, exclude=_DIGESTS)
        for record in (recorded, measurement.record)
    )
    yield from differences_of(before, after)


def _array_differences(name: str, stored: NDArray[Any] | None, now: NDArray[Any]) -> Iterator[str]:
    if stored is None or stored.shape != now.shape:
        yield f"{name}: shape {stored.shape if stored is not None else 'unknown'} recorded, {now.shape} now"
    elif stored.dtype.kind != now.dtype.kind:
        yield f"{name}: {stored.dtype} recorded, {now.dtype} now"
    elif stored.dtype.kind == "f":
        if not np.array_equal(stored, now, equal_nan=True):
            yield f"{name}: differs by at most {np.nanmax(np.abs(stored - now)):.3g}"
    elif not np.array_equal(stored, now):
        yield f"{name}: {_moved_pixels(stored, now) if stored.ndim == 3 else 'differs'}"


def _moved_pixels(stored: NDArray[np.int64], now: NDArray[np.int64]) -> str:
    """How many pixels have another class now, as a lower bound from the images' confusion matrices."""
    moved = np.abs(stored - now).sum(axis=(1, 2)) / 2  # a pixel leaves one cell and enters another
    return (
        f"at least {np.ceil(moved).sum():,.0f} of {now.sum():,} pixels are predicted differently, "
        f"in {np.count_nonzero(moved)} of {len(now)} images"
    )


def _machines(cost: Path, device: torch.device) -> str:
    """Where the network was trained and where it was measured again: last digits depend on both."""
    now = f"now torch {torch.__version__} on {device_name(device)}"
    if not cost.exists():
        return now
    record = read_record(cost, CostRecord)
    return f"trained with torch {record.torch} on {record.device}, {now}"
