from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from tests.reporting.tree import CLASSES, PALETTE, Tree

from icsd.reporting import differences, histories
from icsd.reporting.figures.canvas import to_png
from icsd.reporting.figures.confusion import confusion as confusion_figure
from icsd.reporting.figures.curves import similarity_distance, training_curves
from icsd.reporting.figures.forest import forest
from icsd.reporting.figures.panels import coloured
from icsd.reporting.figures.panels import panels as panels_figure
from icsd.reporting.figures.per_class import per_class_iou
from icsd.reporting.figures.scores import miou_by_method
from icsd.reporting.figures.similarity import short_number, similarity_matrices
from icsd.reporting.figures.weights import alw_weights
from icsd.reporting.page.slider import similarity_histories
from icsd.reporting.results import Panels, Results
from icsd.reporting.style import LESS, LOOKS, MORE, PALE, emphasised, looks, method_label
from icsd.reporting.tables import comparison as comparison_table
from icsd.reporting.tables import per_class as per_class_table
from icsd.stages.recording import heatmap


@pytest.fixture
def results(tree: Tree) -> Results:
    return tree.load()


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_training_curves_have_a_panel_per_term_and_a_line_per_method(results: Results):
    figure = training_curves(histories.histories(results, "resnet18"), student="resnet18")
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["Validation mIoU", "Loss: ce", "Loss: kd", "Loss: icsd", "Loss: total"]
    assert legend(figure) == ["Student alone", "AICSD"]
    thick = [line for line in figure.axes[1].lines if line.get_linewidth() > 1]
    assert [line.get_color() for line in thick] == [
        looks(["none"])["none"].colour,
        looks(["aicsd"])["aicsd"].colour,
    ]
    history = histories.histories(results, "resnet18")
    mean = history[history["method"] == "none"].groupby("epoch")["loss/ce"].mean()
    assert thick[0].get_ydata() == pytest.approx(mean.to_numpy())


def test_curves_skip_epochs_without_validation(results: Results):
    figure = training_curves(histories.histories(results, "resnet18"), student="resnet18")
    assert np.asarray(figure.axes[0].lines[-1].get_xdata()).tolist() == [2, 4, 6]


def test_alw_weights_are_shares_that_add_up_to_one(results: Results):
    run = results.runs["resnet18", "aicsd", 0]
    assert run.history is not None
    figure = alw_weights(histories.weight_shares(run.history, run.training), method="aicsd")
    assert legend(figure) == ["CE", "KD", "ICSD"]
    ce, kd, _ = (np.asarray(line.get_ydata()) for line in figure.axes[0].lines)
    assert kd == pytest.approx(1 - np.arange(6) / 6)
    assert ce + kd == pytest.approx(1)


def test_only_methods_with_changing_weights_vary(results: Results):
    assert histories.methods_with_changing_weights(histories.histories(results, "resnet18")) == ["aicsd"]


def test_miou_by_method_shows_seeds_means_and_the_teacher(results: Results):
    table = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    seeds = histories.seed_scores(results)
    figure = miou_by_method(table, seeds)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["AICSD", "Student alone"]
    drawn = [line.get_xdata() for line in axis.lines]
    own = seeds.loc[seeds["method"] == "aicsd", "miou"].tolist()
    assert any(np.asarray(data).tolist() == own for data in drawn)
    assert any(np.asarray(data).tolist() == [table["miou_mean"].iloc[0]] * 2 for data in drawn)


def test_the_forest_has_every_difference_the_largest_first_and_marks_zero_and_the_rope():
    gains = {"kd": (1.0, -0.2, 2.2, 0.3), "aicsd": (2.0, 1.0, 3.0, 0.01), "none": (None,) * 4}
    columns = ("delta_mean", "delta_low", "delta_high", "p_holm")
    rows = [
        {"student": "resnet18", "method": name, "rope": 0.5, **dict(zip(columns, own, strict=True))}
        for name, own in gains.items()
    ]
    axis = forest(pd.DataFrame(rows)).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["AICSD", "KD"]
    drawn = [np.asarray(line.get_xdata()).tolist() for line in axis.lines]
    assert drawn == [[0, 0], [1.0, 3.0], [2.0], [-0.2, 2.2], [1.0]]
    band = axis.patches[0]
    assert isinstance(band, Rectangle)
    assert (band.get_x(), band.get_width()) == (-0.5, 1.0)
    assert [line.get_markerfacecolor() == "white" for line in (axis.lines[2], axis.lines[4])] == [False, True]


def test_a_method_without_runs_is_marked_as_missing(tree: Tree):
    for seed in tree.seeds:
        (tree.root / f"results/shapes/aicsd/resnet18-{seed}/metrics.json").unlink()
    results = tree.load()
    table = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    axis = miou_by_method(table, histories.seed_scores(results)).axes[0]
    assert "missing" in [text.get_text() for text in axis.texts]


def test_per_class_dots_are_the_means_of_the_table(results: Results):
    table = per_class_table.rows(results)
    axis = per_class_iou(table, student="resnet18").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(CLASSES)
    aicsd = table.loc[table["method"] == "aicsd", "iou_mean"].tolist()
    assert any(np.asarray(line.get_xdata()).tolist() == aicsd for line in axis.lines)
    assert axis.get_xlabel() == "IoU in %"


def test_similarity_matrices_share_one_scale_and_differences_another():
    teacher = np.arange(16.0).reshape(4, 4)
    figure = similarity_matrices(
        teacher, {"Student alone": teacher + 1, "AICSD": teacher}, ["a", "b", "c", "d"], student="ResNet-18"
    )
    titled = {axis.get_title(loc="left"): axis for axis in figure.axes}
    upper = [titled[name].collections[0] for name in ("Teacher", "Student alone", "AICSD")]
    assert len({mesh.get_clim() for mesh in upper}) == 1
    difference = titled["Student alone − teacher\n(RMS 1)"].collections[0]
    assert (difference.get_array() == 1).all()
    assert difference.get_clim()[0] == -difference.get_clim()[1]
    assert "AICSD − teacher\n(RMS 0)" in titled


def test_confusion_rows_add_up_to_a_hundred_percent():
    counts = np.array([[8.0, 2.0], [0.0, 0.0]])
    figure = confusion_figure({"Teacher": counts}, ["a", "b"], student="ResNet-18")
    shares = np.ma.filled(figure.axes[0].collections[0].get_array(), np.nan)
    assert shares[0].tolist() == [80, 20]
    assert np.isnan(shares[1]).all()
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("predicted", "truth")


def test_panels_put_image_label_and_predictions_side_by_side():
    labels = np.array([[[0, 1], [255, 2]]], dtype=np.uint8)
    pictures = Panels(("x",), np.zeros((1, 2, 2, 3), np.uint8), labels, labels)
    predictions = {"Teacher": np.zeros_like(labels), "AICSD": np.ones_like(labels)}
    figure = panels_figure(pictures, predictions, CLASSES, PALETTE, student="ResNet-18")
    assert [axis.get_title() for axis in figure.axes] == ["Image", "Label", "Teacher", "AICSD"]
    assert legend(figure) == ["sky", "road", "tree", "ignored"]
    shown = figure.axes[3].images[0].get_array()
    assert (shown == PALETTE[1]).all()


def test_ignored_pixels_are_grey():
    pixels = coloured(np.array([[0, 255]], dtype=np.uint8), PALETTE)
    assert pixels.tolist() == [[PALETTE[0].tolist(), [209, 209, 209]]]


def test_the_same_figure_gives_the_same_bytes(results: Results):
    table = per_class_table.rows(results)
    first, second = (to_png(per_class_iou(table, student="resnet18"), dpi=50) for _ in range(2))
    assert first == second
    assert b"matplotlib" not in first


def test_unknown_methods_get_looks_of_their_own():
    found = looks(["kd", "mine", "aicsd_released"])
    assert len({look.colour for look in found.values()}) == 3
    assert found["aicsd_released"].label == method_label("aicsd_released") == "AICSD (released)"


def test_an_unknown_method_looks_the_same_in_any_company():
    assert looks(["mine"])["mine"] == looks(["kd", "mine", "aicsd"])["mine"]


def test_no_two_methods_look_alike():
    drawn = [(look.colour, look.marker, look.line) for look in LOOKS.values()]
    assert len(set(drawn)) == len({look.label for look in LOOKS.values()}) == len(drawn)


NAMES = ("none", "kd", "at", "sp", "ickd", "cwd", "icsd", "icsd_kd", "aicsd", "aicsd_cosine")


def test_of_many_methods_the_focus_its_variants_and_references_are_in_colour():
    assert emphasised(NAMES[:8], focus="icsd") == NAMES[:8]
    assert emphasised(NAMES, focus="aicsd") == ("none", "kd", "icsd", "aicsd", "aicsd_cosine")
    assert emphasised(NAMES, focus=None) == ("none", "kd", "icsd")


@pytest.fixture
def many(tmp_path: Path) -> Results:
    quality = {"teacher": 0.85} | {name: 0.6 + 0.01 * place for place, name in enumerate(NAMES)}
    return Tree(tmp_path, methods=NAMES, quality=quality).write().load()


def test_curves_of_many_methods_leave_the_others_pale(many: Results):
    history = histories.histories(many, "resnet18")
    figure = training_curves(history, student="resnet18", focus="aicsd")
    assert legend(figure) == ["Student alone", "KD", "ICSD", "AICSD", "AICSD (cosine)", "other methods"]
    pale = [line for line in figure.axes[0].lines if line.get_color() == PALE]
    values = 100 * history[history["method"] == "sp"].groupby("epoch")["val/miou"].mean().dropna()
    assert set(values) <= set(np.concatenate([line.get_ydata() for line in pale]))


def test_classes_of_many_methods_leave_the_others_pale(many: Results):
    table = per_class_table.rows(many)
    figure = per_class_iou(table, student="resnet18", focus="aicsd")
    assert len(legend(figure)) == 5 + 2
    pale = next(line for line in figure.axes[0].lines if line.get_color() == PALE)
    assert np.size(pale.get_xdata()) == 5 * len(CLASSES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.04, "0"), (-0.04, "0"), (5.66, "5.7"), (-0.82, "−.8"), (-1.4, "−1.4"), (12.3, "12")],
)
def test_a_cell_of_a_similarity_matrix_holds_four_characters(value, text):
    assert short_number(value) == text


def test_intervals_and_spreads_stay_within_a_hundred_percent(results: Results):
    table = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    table.loc[table["method"] == "aicsd", ["miou_low", "miou_high"]] = [-40.0, 140.0]
    axis = miou_by_method(table, histories.seed_scores(results)).axes[0]
    assert any(np.asarray(line.get_xdata()).tolist() == [0, 100] for line in axis.lines)
    per_class = per_class_table.rows(results)
    per_class["iou_std"] = 90.0
    axis = per_class_iou(per_class, student="resnet18").axes[0]
    paths = [path for bars in axis.collections for path in bars.get_paths()]
    ends = np.concatenate([np.asarray(path.vertices)[:, 0] for path in paths])
    assert (ends.min(), ends.max()) == (pytest.approx(0), pytest.approx(100))


@pytest.mark.parametrize("epochs", [2, 5])
def test_ticks_are_at_whole_epochs(tmp_path: Path, epochs: int):
    tree = Tree(tmp_path, epochs=epochs, seeds=(0,), classes=CLASSES[:3]).write()
    history = histories.histories(tree.load(), "resnet18")
    for make in (training_curves, similarity_distance):
        for axis in make(history, student="resnet18").axes:
            assert all(float(tick).is_integer() for tick in axis.get_xticks())


def test_the_title_of_the_confusion_is_within_the_figure():
    """Of two small matrices and a long name."""
    counts = dict.fromkeys(("Teacher", "KD"), np.eye(3))
    figure = confusion_figure(counts, ["a", "b", "c"], student="MobileNetV2 (width 0.25)")
    FigureCanvasAgg(figure).draw()
    title = next(text for text in figure.texts if text.get_text().startswith("Confusion"))
    assert title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize("names", [("Teacher", "KD"), ("Teacher", "KD", "AICSD")])
def test_the_title_of_the_confusion_is_above_those_of_its_matrices(names: tuple[str, ...]):
    counts = dict.fromkeys(names, np.eye(9))
    figure = confusion_figure(counts, [f"wedge across {index}" for index in range(9)], student="ResNet-18")
    to_png(figure, dpi=100)  # what is measured below is at the figure's own resolution
    title = next(text for text in figure.texts if text.get_text().startswith("Confusion"))
    panels = [axis._left_title for axis in figure.axes if axis.get_title(loc="left") in names]  # type: ignore[attr-defined]
    assert len(panels) == len(names)
    assert title.get_window_extent().y0 > max(panel.get_window_extent().y1 for panel in panels)


def test_totals_are_in_percent_of_their_first_epoch(results: Results):
    history = histories.histories(results, "resnet18")
    axis = training_curves(history, student="resnet18").axes[-1]
    assert (axis.get_title(loc="left"), axis.get_ylabel()) == ("Loss: total", "% of the first epoch")
    thick = [line for line in axis.lines if line.get_linewidth() > 1]
    totals = history[history["method"] == "aicsd"].pivot_table(
        index="epoch", columns="seed", values="loss/total"
    )
    assert thick[1].get_ydata() == pytest.approx((100 * totals / totals.iloc[0]).mean(axis=1).to_numpy())
    assert [line.get_ydata()[0] for line in thick] == [pytest.approx(100)] * 2  # type: ignore[index]


def test_axes_name_the_units_of_their_terms(results: Results):
    figure = training_curves(histories.histories(results, "resnet18"), student="resnet18")
    labels = {axis.get_title(loc="left"): axis.get_ylabel() for axis in figure.axes}
    assert labels["Validation mIoU"] == "mIoU in %"
    assert labels["Loss: ce"] == labels["Loss: kd"] == "unweighted, nats"
    assert labels["Loss: icsd"] == "unweighted, nats²"


def test_a_pale_method_of_another_scale_makes_the_axis_logarithmic(many: Results):
    """Of two forms of a loss one may be a thousandth of the other: a line at 0 on a linear axis."""
    history = histories.histories(many, "resnet18")
    history.loc[history["method"] != "none", "loss/kd"] = 1.0
    linear, logarithmic = history.copy(), history
    logarithmic.loc[logarithmic["method"] == "sp", "loss/kd"] = 0.001
    for table, scale in ((linear, "linear"), (logarithmic, "log")):
        axes = training_curves(table, student="resnet18", focus="aicsd").axes
        [kd] = [axis for axis in axes if axis.get_title(loc="left") == "Loss: kd"]
        assert kd.get_yscale() == scale


def test_the_highest_mean_is_said_with_how_many_are_told_apart(results: Results):
    table = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    seeds = histories.seed_scores(results)
    for groups, said in ((["a", "a"], "0 of 1"), (["b", "a"], "1 of 1")):
        table.loc[table["method"] != "teacher", "group"] = groups
        title = miou_by_method(table, seeds).axes[0].get_title(loc="left")
        assert title.splitlines()[1:] == ["highest mean: AICSD, 51.9 %", f"told apart from {said} others"]
    table["group"] = None
    assert miou_by_method(table, seeds).axes[0].get_title(loc="left").endswith("51.9 %, not tested")


def test_a_negative_difference_has_one_colour_in_figure_slider_and_mlflow(results: Results):
    teacher = np.eye(3)
    figure = similarity_matrices(teacher, {"KD": teacher - 1}, ["a", "b", "c"], student="ResNet-18")
    [mesh] = [axis.collections[0] for axis in figure.axes if axis.get_title(loc="left").startswith("KD −")]
    of_figure = [to_hex(mesh.get_cmap()(end)) for end in (0.0, 1.0)]
    found = similarity_histories(results, results.classes, focus="none")
    assert found is not None
    of_slider = found["colours"]["difference"]
    of_mlflow = [f"#{colour}" for colour in heatmap.DIVERGING.split()]
    assert of_figure == [of_slider[0], of_slider[-1]] == [of_mlflow[0], of_mlflow[-1]]
    for colour, name in zip(of_figure, (LESS, MORE), strict=True):
        red, _, blue = to_rgb(colour)
        assert (red > blue) == (name == "orange")
        assert (red < blue) == (name == "purple")


def test_a_forest_of_two_students_has_one_scale_and_its_narrow_form_one_column():
    rows = [
        {"student": name, "method": "kd", "rope": 0.5, "delta_mean": mean, "p_holm": 0.3}
        | {"delta_low": mean - 1, "delta_high": mean + 1}
        for name, mean in (("resnet18", 1.0), ("mobilenetv2", 9.0))
    ]
    for narrow in (False, True):
        figure = forest(pd.DataFrame(rows), narrow=narrow)
        assert len({axis.get_xlim() for axis in figure.axes}) == 1
        columns = {axis.get_subplotspec().get_geometry()[1] for axis in figure.axes}
        assert columns == ({1} if narrow else {2})
    assert forest(pd.DataFrame(rows), narrow=True).get_figwidth() < 5
