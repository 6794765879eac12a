"""IoU of each class."""

import pandas as pd

from icsd.reporting.results import Results
from icsd.reporting.statistics.estimates import estimate
from icsd.reporting.style import MANY, method_label, network_label
from icsd.reporting.tables.cells import Cell, Display, number, spread
from icsd.runs import TEACHER

_NOTES = ("IoU in percent, mean ± standard deviation over seeds; –: class absent or run missing.",)


def rows(results: Results) -> pd.DataFrame:
    """IoU of each class in percent: student, method, class, iou_mean, iou_std, n_seeds."""
    cells = [(results.teacher.student, TEACHER, [results.teacher])] + [
        (student, method, results.of(student, method))
        for student in results.students
        for method in results.methods
    ]
    table: list[tuple[str, str, str, float | None, float | None, int]] = []
    for student, method, runs in cells:
        for index, name in enumerate(results.classes):
            values = [run.metrics.iou_per_class[index] for run in runs if run.metrics]
            iou = estimate([100 * value for value in values if value is not None])
            table.append((student, method, name, *((iou.mean, iou.std, iou.n) if iou else (None, None, 0))))
    columns = ["student", "method", "class", "iou_mean", "iou_std", "n_seeds"]
    return pd.DataFrame(table, columns=columns).astype({"iou_mean": float, "iou_std": float})


def display(table: pd.DataFrame) -> Display:
    """One row per class and one column per method, in blocks per student; transposed for many methods."""
    students = table[table["method"] != TEACHER]
    methods = list(students["method"].unique())
    if len(methods) > MANY:
        return _methods_down(table)
    teacher = table[table["method"] == TEACHER].set_index("class")["iou_mean"]
    lines = []
    for (student, name), group in students.groupby(["student", "class"], sort=False):
        own = group.set_index("method")
        scores = (spread(own["iou_mean"].get(each), own["iou_std"].get(each), digits=1) for each in methods)
        lines.append(
            (
                Cell(network_label(str(student))),
                Cell(str(name)),
                number(teacher.get(name), ".1f"),
                *scores,
            )
        )
    headers = ("Network", "Class", "Teacher", *(method_label(method) for method in methods))
    return Display("per_class", "IoU per class", headers, tuple(lines), _NOTES)


def _methods_down(table: pd.DataFrame) -> Display:
    classes = list(table["class"].unique())
    lines = []
    for (student, method), group in table.groupby(["student", "method"], sort=False):
        own = group.set_index("class")
        scores = (spread(own["iou_mean"].get(name), own["iou_std"].get(name), digits=1) for name in classes)
        lines.append((Cell(network_label(str(student))), Cell(method_label(str(method))), *scores))
    headers = ("Network", "Method", *(str(name) for name in classes))
    return Display("per_class", "IoU per class", headers, tuple(lines), _NOTES)
