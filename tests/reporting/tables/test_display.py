import numpy as np
import pandas as pd
import pytest
from tests.reporting.tree import Tree

from icsd.reporting import differences
from icsd.reporting.tables import ablation as ablation_table
from icsd.reporting.tables import comparison as comparison_table
from icsd.reporting.tables import per_class as per_class_table
from icsd.reporting.tables.cells import Cell, Display, p_value
from icsd.reporting.tables.writers import escape_latex, to_csv, to_latex, to_markdown


def shown(tree: Tree) -> list[dict[str, str]]:
    results = tree.load()
    table = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    first, rest = texts(comparison_table.display(table)), texts(comparison_table.details(table))
    return [row | more for row, more in zip(first, rest, strict=True)]


def texts(shown: Display) -> list[dict[str, str]]:
    return [dict(zip(shown.headers, (cell.text for cell in row), strict=True)) for row in shown.rows]


def test_methods_stand_in_the_order_of_their_differences_after_teacher_and_student_alone(tree: Tree):
    tree.quality |= {"kd": 0.64, "worst": 0.2, "gone": 0.5}
    tree.methods = ("worst", "kd", "gone", "none", "aicsd")
    for method in ("worst", "kd"):
        for seed in tree.seeds:
            tree.write_run(method, "resnet18", seed)
    rows = shown(tree)
    assert [row["Method"] for row in rows[:2]] == ["Teacher", "Student alone"]
    differences = [float(row["Δ alone"].split(" ")[0].replace("−", "-")) for row in rows[2:5]]
    assert differences == sorted(differences, reverse=True)
    assert {row["Method"] for row in rows[2:4]} == {"KD", "AICSD"}
    assert [row["Method"] for row in rows[4:]] == ["worst", "gone"]


def test_scores_are_written_with_their_spread_and_differences_with_a_sign(tree: Tree):
    aicsd = shown(tree)[-1]
    assert aicsd["Method"] == "AICSD"
    assert " ± " in aicsd["mIoU %"]
    assert aicsd["Δ alone"].startswith("+")
    assert aicsd["Parameters"] == "1,234,567"


def test_gaps_are_dashes(tree: Tree):
    for seed in tree.seeds:
        (tree.root / f"results/shapes/aicsd/resnet18-{seed}/metrics.json").unlink()
    assert set(list(shown(tree)[-1].values())[2:]) == {"–"}


def test_one_seed_says_that_nothing_can_be_inferred(tree: Tree):
    tree.seeds = (0,)
    aicsd = shown(tree)[-1]
    assert aicsd["p (Holm)"] == "n = 1, no inference"
    assert "±" not in aicsd["mIoU %"]
    results = tree.load()
    table = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    assert any("n = 1" in note for note in comparison_table.display(table).notes)


def test_one_seed_has_no_groups(tree: Tree):
    tree.seeds = (0,)
    rows = shown(tree)
    assert [row["Group"] for row in rows] == ["–", "not testable", "not testable"]


def test_differences_to_kd_are_shown_where_kd_was_run(tree: Tree):
    assert not any("KD" in header for header in shown(tree)[0])
    tree.quality["kd"] = 0.64
    tree.methods = ("none", "kd", "aicsd")
    for seed in tree.seeds:
        tree.write_run("kd", "resnet18", seed)
    alone, *methods = shown(tree)[1:]
    aicsd, kd = sorted(methods, key=lambda row: row["Method"])
    assert aicsd["Δ KD"].startswith("+")
    assert {alone["Δ KD"], kd["Δ KD"], kd["p (Holm) KD"]} == {"–"}


def test_many_methods_stand_in_rows_of_the_classes_table(tree: Tree):
    names = [f"m{index}" for index in range(9)]
    tree.quality |= dict.fromkeys(names, 0.6)
    few = per_class_table.display(per_class_table.rows(tree.load()))
    assert few.headers[1:] == ("Class", "Teacher", "Student alone", "AICSD")
    tree.methods = (*tree.methods, *names)
    for name in names:
        for seed in tree.seeds:
            tree.write_run(name, "resnet18", seed)
    many = per_class_table.display(per_class_table.rows(tree.load()))
    assert many.headers == ("Network", "Method", *tree.classes)
    assert [row[1].text for row in many.rows][:3] == ["Teacher", "Student alone", "AICSD"]
    assert many.rows[1][2].text == few.rows[0][3].text


def test_parts_that_a_method_does_not_have_are_dashes_in_the_ablation():
    row = {
        **{"student": "resnet18", "method": "kd", "class": "kd", "variant": None, "rows": None},
        **{"icsd_weight": np.nan, "kd_weight": 1.0, "alw_decay": None, "alw_scope": None},
        **{"n_seeds": 2, "miou_mean": 26.0, "miou_std": 0.5, "delta_mean": -1.0, "delta_std": 0.2},
        **{"kd_delta_mean": np.nan, "kd_delta_std": np.nan},
    }
    found = ablation_table.display(pd.DataFrame([row]))
    texts = dict(zip(found.headers, (cell.text for cell in found.rows[0]), strict=True))
    assert (texts["Variant"], texts["ICSD weight"], texts["KD weight"]) == ("–", "–", "1")
    assert (texts["mIoU %"], texts["Δ alone"]) == ("26.00 ± 0.50", "−1.00 ± 0.20")


def test_cells_sort_by_their_number(tree: Tree):
    results = tree.load()
    per_class = per_class_table.rows(results)
    row = per_class_table.display(per_class).rows[0]
    assert row[1].text == "sky"
    assert row[3].value == per_class.loc[per_class["method"] == "none", "iou_mean"].iloc[0]


SMALL = Display(
    "small",
    "Small",
    ("Method", "50 %"),
    ((Cell("a|b_c"), Cell("+1.0 ± 0.2", 1.0)),),
    ("Mind Δ & co.",),
    num_labels=1,
)


def test_markdown_is_a_pipe_table_with_notes():
    assert to_markdown(SMALL) == (
        "| Method | 50 % |\n| --- | ---: |\n| a\\|b_c | +1.0 ± 0.2 |\n\n- Mind Δ & co.\n"
    )


def test_latex_is_a_booktabs_table_with_everything_escaped():
    assert to_latex(SMALL).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Method & 50 \% \\",
        r"\midrule",
        r"a|b\_c & +1.0 $\pm$ 0.2 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize Mind $\Delta$ \& co.",
    ]
    assert escape_latex("{x}\\") == r"\{x\}\textbackslash{}"


def test_csv_has_all_columns_and_empty_gaps():
    table = pd.DataFrame({"method": ["kd"], "miou": [61.23456789], "p": [np.nan]})
    assert to_csv(table) == "method,miou,p\nkd,61.2346,\n"


def test_what_other_tools_would_print_is_said_where_it_differs(tree: Tree):
    results = tree.load()
    table = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    assert "this makes no difference" in comparison_table.details(table).notes[0]
    table.loc[table["method"] == "aicsd", "miou_of_seen"] = 12.345
    assert "count it as 0. Counted as 0: ResNet-18 AICSD 12.35 %." in comparison_table.details(table).notes[0]
    for run in results.runs.values():
        assert run.confusion is not None
        run.confusion[:, 0, :], run.confusion[:, 1, 0] = 0, 7  # sky is only predicted
    other = comparison_table.rows(results, differences.resample(results, resamples=50, seed=0))
    assert (other["miou_of_seen"].iloc[1:] < 0.95 * other["miou_mean"].iloc[1:]).all()


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "1.000"),
        (0.4321, "0.432"),
        (0.0501, "0.050"),
        (0.05, "0.050"),
        (0.04996, "0.0499"),
        (0.0494, "0.049"),
        (0.001, "0.001"),
        (0.00099, "< 0.001"),
        (0.0, "< 0.001"),
    ],
)
def test_a_p_is_never_rounded_to_the_other_side_of_the_level(p: float, text: str):
    assert p_value(p) == text
