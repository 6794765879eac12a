from pathlib import Path

import numpy as np
import pytest
from tests.reporting.tree import CLASSES, Tree

from icsd.reporting import histories
from icsd.reporting.figures.validation import validation_by_method
from icsd.reporting.results import Results
from icsd.reporting.style import method_label

NAMES = ("none", "kd", "at", "sp", "ickd", "cwd", "icsd", "icsd_kd", "aicsd", "aicsd_cosine")


def many(root: Path, *, epochs: int) -> Results:
    quality = {"teacher": 0.85} | {name: 0.4 + 0.04 * place for place, name in enumerate(NAMES)}
    return Tree(root, methods=NAMES, quality=quality, epochs=epochs, classes=CLASSES[:3]).write().load()


def test_every_method_of_many_has_a_panel_of_its_own(tmp_path: Path):
    results = many(tmp_path, epochs=8)  # four of which are validated
    figure = validation_by_method(histories.histories(results, "resnet18"), student="resnet18")
    assert [axis.get_title(loc="left") for axis in figure.axes] == [method_label(name) for name in NAMES]
    assert len({axis.get_ylim() for axis in figure.axes}) == 1
    assert all(float(tick).is_integer() for axis in figure.axes for tick in axis.get_xticks())


def test_few_epochs_are_dots_in_one_panel_the_highest_last_value_first(tmp_path: Path):
    history = histories.histories(many(tmp_path, epochs=4), "resnet18")
    figure = validation_by_method(history, student="resnet18")
    (axis,) = figure.axes
    means = history.groupby(["method", "epoch"])["val/miou"].mean().unstack()
    order = means[4].sort_values(ascending=False).index
    assert [label.get_text() for label in axis.get_yticklabels()] == [method_label(name) for name in order]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["epoch 2", "epoch 4"]
    joined = next(line for line in axis.lines if np.size(line.get_xdata()) == 2)
    assert np.asarray(joined.get_xdata()) == pytest.approx(100 * means.loc[order[0], [2, 4]].to_numpy())
