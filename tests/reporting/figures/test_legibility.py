"""Requirements on every figure of a report, with few methods and with many."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from tests.reporting.deployed import write_deployed
from tests.reporting.tree import CLASSES, PALETTE, Tree

from icsd.reporting.deployed import load_deployed
from icsd.reporting.differences import resample
from icsd.reporting.figures import gallery
from icsd.reporting.results import Results
from icsd.reporting.tables import comparison, decisions, deployment, per_class

FEW = ("none", "kd", "icsd", "aicsd")
MANY = (*FEW, "at", "sp", "ickd", "cwd_features", "icsd_released", "aicsd_cosine")


def measured(root: Path, methods: tuple[str, ...], students: tuple[str, ...], epochs: int) -> Results:
    """A grid whose loss health was measured in every epoch, with one share next to nothing."""
    quality = {"teacher": 0.85} | {name: 0.4 + 0.03 * place for place, name in enumerate(methods)}
    tree = Tree(root, methods=methods, students=students, quality=quality, epochs=epochs, classes=CLASSES[:6])
    tree.write()
    for path in (root / "runs").rglob("*/*/history.csv"):
        history = pd.read_csv(path)
        terms = [name[5:] for name in map(str, history) if name.startswith("loss/") and name != "loss/total"]
        for term in terms if len(terms) > 1 else ():
            tiny = 0.002 / (len(terms) - 1)
            history[f"health/share/{term}"] = 0.998 if term == "ce" else tiny
        history.to_csv(path, index=False)
    write_deployed(tree, "aicsd", {"onnx": {}, "int8": {0: 40, 3: 25}})
    return tree.load()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((FEW, ("resnet18", "mobilenetv2"), 2), id="two students, two epochs"),
        pytest.param((MANY, ("resnet18",), 4), id="many methods, few epochs"),
        pytest.param((MANY, ("resnet18",), 10), id="many methods"),
    ],
)
def figures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Figure]:
    """Every figure of a report, laid out as in its file."""
    root = tmp_path_factory.mktemp("measured")
    results = measured(root, *request.param)
    resampled = resample(results, resamples=20, seed=0)
    made: list[Figure] = []

    def kept(figure: Figure) -> bytes:
        made.append(figure)
        for _ in range(2):  # square panels shrink once laid out, and their titles move along
            FigureCanvasAgg(figure).draw()
        return b""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "to_png", kept)
        tables = {
            "comparison": comparison.rows(results, resampled),
            "decisions": decisions.rows(results, resampled, rope=0.5),
            "per_class": per_class.rows(results),
            "deployment": deployment.rows(results, load_deployed(root, results), resampled, rope=0.5),
        }
        list(gallery.pictures(results, **tables, classes=CLASSES[:6], palette=PALETTE[:6], focus="aicsd"))
    return made


def titled(figure: Figure) -> str:
    return str(figure.get_suptitle())


def test_no_text_runs_into_another(figures: list[Figure]):
    found = []
    for figure in figures:
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
        assert len(boxes) > 5
        for (one, first), (other, second) in combinations(boxes, 2):
            width = min(first.x1, second.x1) - max(first.x0, second.x0)
            height = min(first.y1, second.y1) - max(first.y0, second.y0)
            if min(width, height) > 1.5:
                found.append((titled(figure), one, other))
    assert found == [], "\n".join(map(str, found))


def texts(figure: Figure) -> Iterator[Text]:
    """The visible texts; of tick labels, those within the axes."""
    yield from (text for text in figure.texts if text.get_text())
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        if axes.axison:
            titles = (axes.title, axes._left_title, axes._right_title)  # type: ignore[attr-defined]
            named = (*titles, axes.xaxis.label, axes.yaxis.label, *axes.texts)
            yield from (text for text in named if text.get_text() and text.get_visible())
            yield from tick_labels(axes)
        else:
            yield from axes.texts


def tick_labels(axes: Axes) -> Iterator[Text]:
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            label = tick.label2 if not tick.label1.get_visible() else tick.label1
            if label.get_text() and label.get_visible() and low <= tick.get_loc() <= high:
                yield label


def test_epochs_are_whole(figures: list[Figure]):
    by_epoch = [axes for figure in figures for axes in figure.axes if axes.get_xlabel() == "epoch"]
    assert by_epoch
    for axes in by_epoch:
        assert isinstance(axes.xaxis.get_major_locator(), MaxNLocator)
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_no_percentage_leaves_its_range(figures: list[Figure]):
    """Means and intervals; axes may have a margin."""
    for figure in figures:
        for axes in figure.axes:
            if axes.get_xlabel() in ("mIoU in %", "IoU in %", "validation mIoU in %", "share in %"):
                ends = [np.asarray(line.get_xdata(), dtype=float) for line in axes.lines]
                values = np.concatenate([np.zeros(1), *(end[np.isfinite(end)] for end in ends)])
                assert 0 <= values.min() <= values.max() <= 100


def test_a_report_has_few_panels_of_few_points(figures: list[Figure]):
    """A panel each is for curves: of fewer points than three, no figure has more than six."""
    for figure in figures:
        short = [
            axes
            for axes in figure.axes
            if axes.get_xlabel() == "epoch" or titled(figure).startswith("Validation mIoU in")
            if max((np.size(line.get_xdata()) for line in axes.lines), default=0) < 3
            if not axes.patches
        ]
        assert len(short) <= 6, titled(figure)
