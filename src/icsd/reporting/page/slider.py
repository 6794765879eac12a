"""The data of the page's slider: similarity matrices measured during training."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from icsd.reporting.results import Results, Run
from icsd.reporting.style import DIVERGING, method_label, network_label

Matrix = NDArray[np.float64]
_STOPS = 9


def similarity_histories(results: Results, classes: Sequence[str], *, focus: str) -> dict[str, Any] | None:
    """The matrices of every student and method by epoch, means over seeds, ready for JSON.

    Matrices are rounded to three significant digits and distances to four, because they become colours and a
    sentence; similarity.npz has the exact ones. Seeds that diverged and stopped early are left out of the
    mean.

    Args:
        results: Runs without similarity.npz are left out.
        classes: Names of the C classes.
        focus: The method that is shown first.

    Returns:
        ``classes``, ``focus`` (its label), ``colours`` (stops of both scales, #rrggbb), and ``networks``: per
        student its label, the teacher's matrix (C rows of C), the scale's upper end, and per method label,
        number of seeds, epochs, distances and matrices; None if no run has matrices.
    """
    networks = [network for student in results.students if (network := _network(results, student))]
    if not networks:
        return None
    return {
        "classes": list(classes),
        "focus": method_label(focus),
        "colours": {
            "value": _stops("viridis"),
            "difference": _stops(DIVERGING),
        },
        "networks": networks,
    }


def _network(results: Results, student: str) -> dict[str, Any] | None:
    methods, teacher = [], None
    for method in results.methods:
        runs = [run for run in results.of(student, method) if run.similarity is not None]
        if runs:
            methods.append(_method(method, runs))
            teacher = runs[0].similarity.teacher if runs[0].similarity else None
    if teacher is None:
        return None
    return {
        "label": network_label(student),
        "teacher": _rounded(teacher),
        # Set by the teacher, so that methods and epochs share one scale.
        "top": float(f"{float(np.percentile(teacher, 98)) or 1.0:.3g}"),
        "methods": methods,
    }


def _method(method: str, runs: Sequence[Run]) -> dict[str, Any]:
    own = [run.similarity for run in runs if run.similarity is not None]
    longest = max((each.epochs for each in own), key=len)
    whole = [each for each in own if np.array_equal(each.epochs, longest)]
    matrices = np.mean([each.student for each in whole], axis=0)
    return {
        "label": method_label(method),
        "seeds": len(whole),
        "epochs": longest.tolist(),
        "distance": [float(f"{value:.4g}") for value in np.mean([each.distance for each in whole], axis=0)],
        "student": [_rounded(matrix) for matrix in matrices],
    }


def _rounded(matrix: Matrix) -> list[list[float]]:
    return [[float(f"{value:.3g}") for value in row] for row in matrix]


def _stops(name: str) -> list[str]:
    scale = mpl.colormaps[name]
    return [mpl.colors.to_hex(scale(index / (_STOPS - 1))) for index in range(_STOPS)]
