"""The files of a measured network. They are byte-identical whenever the measurement is repeated."""

from pathlib import Path

import numpy as np
from PIL import Image

from icsd.arrays import Arrays, write_arrays
from icsd.core.labels import Pixels
from icsd.data.shards import ShardedSplit
from icsd.evaluation.measuring import Evaluated
from icsd.records import write_record
from icsd.stages.evaluation.measurement import Evaluation, Measurement

LARGEST_SIDE = 512
"""Longest side, in pixels, of the images that are kept for the report's pictures."""


def write_result(folder: Path, evaluation: Evaluation, measurement: Measurement) -> None:
    """Write metrics.json and the arrays behind it to a folder that does not exist yet."""
    files = arrays_of(measurement.arrays, evaluation.split)
    files["panels.npz"] = panels(evaluation.split, evaluation.pictured, measurement.arrays.predictions)
    for name, arrays in files.items():
        write_arrays(folder / name, arrays)
    write_record(folder / "metrics.json", measurement.record)


def arrays_of(evaluated: Evaluated, split: ShardedSplit) -> dict[str, Arrays]:
    """The arrays behind metrics.json, by file and name; docs/results.md describes them."""
    if evaluated.teacher_ics is None:
        matrices: Arrays = {"teacher": evaluated.student_ics}  # the measured network is the teacher
    else:
        matrices = {"student": evaluated.student_ics, "teacher": evaluated.teacher_ics}
    return {
        "confusion.npz": {"confusion": evaluated.confusion, "ids": np.array(split.ids)},
        "ics.npz": matrices,
    }


def panels(split: ShardedSplit, indices: list[int], predictions: dict[int, Pixels]) -> Arrays:
    """Images, labels and predictions at ``indices``, all at one size.

    Returns:
        ``ids`` [K], ``images`` uint8 [K, H, W, 3], ``labels`` and ``predictions`` uint8 [K, H, W]; H and W
        are those of the first image, scaled down if a side is longer than ``LARGEST_SIDE``.
    """
    if not indices:
        empty = np.zeros((0, 1, 1), np.uint8)
        images = empty[..., None].repeat(3, 3)
        return {"ids": np.array([], "U1"), "images": images, "labels": empty, "predictions": empty}
    pairs = [split[index] for index in indices]
    height, width = pairs[0][1].shape
    shrink = min(1.0, LARGEST_SIDE / max(height, width))
    size = (round(width * shrink), round(height * shrink))

    def resized(pixels: Pixels, method: Image.Resampling) -> Pixels:
        return np.asarray(Image.fromarray(pixels).resize(size, method))

    nearest, bilinear = Image.Resampling.NEAREST, Image.Resampling.BILINEAR
    return {
        "ids": np.array([split.ids[index] for index in indices]),
        "images": np.stack([resized(image, bilinear) for image, _ in pairs]),
        "labels": np.stack([resized(label, nearest) for _, label in pairs]),
        "predictions": np.stack([resized(predictions[index], nearest) for index in indices]),
    }
