import numpy as np
import pandas as pd
from tests.reporting.tree import Tree

from icsd.reporting import display, tables
from icsd.reporting.display import Cell, Display
from icsd.reporting.writers import escape_latex, to_csv, to_latex, to_markdown


def shown(tree: Tree) -> list[dict[str, str]]:
    results = tree.load()
    table = tables.comparison(results, tables.draw(results, resamples=50, seed=0), seed=0)
    shown = display.show_comparison(table)
    return [dict(zip(shown.headers, (cell.text for cell in row), strict=True)) for row in shown.rows]


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
    table = tables.comparison(results, tables.draw(results, resamples=50, seed=0), seed=0)
    assert any("n = 1" in note for note in display.show_comparison(table).notes)


def test_cells_sort_by_their_number(tree: Tree):
    results = tree.load()
    per_class = tables.per_class(results)
    row = display.show_per_class(per_class).rows[0]
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
