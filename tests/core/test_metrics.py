import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from icsd.core.metrics import (
    absent_classes,
    iou_per_class,
    mean_class_accuracy,
    mean_iou,
    mean_iou_of_seen,
    pixel_accuracy,
)

# Truth in rows: 4 pixels of class 0, 6 of class 1, none of class 2, which is predicted once.
CONFUSION = np.array([[3, 1, 0], [2, 3, 1], [0, 0, 0]])


def test_iou_by_hand() -> None:
    np.testing.assert_allclose(iou_per_class(CONFUSION), [3 / 6, 3 / 7, np.nan])


def test_means_leave_absent_classes_out() -> None:
    assert mean_iou(CONFUSION) == pytest.approx((3 / 6 + 3 / 7) / 2)
    assert mean_class_accuracy(CONFUSION) == pytest.approx((3 / 4 + 3 / 6) / 2)


def test_pixel_accuracy_by_hand() -> None:
    assert pixel_accuracy(CONFUSION) == pytest.approx(6 / 10)


def test_absent_classes_are_named() -> None:
    assert absent_classes(CONFUSION) == [2]
    assert absent_classes(np.eye(3, dtype=np.int64)) == []


def test_a_class_never_predicted_scores_zero() -> None:
    assert iou_per_class(np.array([[5, 0], [5, 0]])).tolist() == [0.5, 0.0]


def test_perfect_prediction() -> None:
    counts = np.diag([4, 1, 7])
    assert (mean_iou(counts), pixel_accuracy(counts), mean_class_accuracy(counts)) == (1.0, 1.0, 1.0)


def test_no_pixels_give_nan_without_warnings() -> None:
    empty = np.zeros((3, 3), dtype=np.int64)
    assert np.isnan([mean_iou(empty), pixel_accuracy(empty), mean_class_accuracy(empty)]).all()


def test_huge_counts_are_exact() -> None:
    counts = np.array([[2**60, 2**59], [0, 2**58]])
    np.testing.assert_allclose(iou_per_class(counts), [2 / 3, 1 / 3])


def test_needs_no_torch() -> None:
    code = "import icsd.core.metrics, icsd.core.weighting, sys; sys.exit('torch' in sys.modules)"
    source = Path(__file__).parents[2] / "src"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=source).returncode == 0


def test_a_class_that_is_only_predicted_counts_as_zero_where_other_tools_count_it():
    confusion = np.array([[8, 0, 2, 0], [0, 5, 5, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert mean_iou(confusion) == pytest.approx((8 / 10 + 5 / 10) / 2)
    assert mean_iou_of_seen(confusion) == pytest.approx((8 / 10 + 5 / 10 + 0) / 3)
    full = np.random.default_rng(0).integers(1, 9, (4, 4))
    assert mean_iou_of_seen(full) == mean_iou(full)
    assert np.isnan(mean_iou_of_seen(np.zeros((3, 3), int)))
