from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.reporting.tree import Tree

from icsd.reporting.tables import pairs as pairs_table

CONFUSION = np.array(
    [[50, 3, 1], [5, 40, 0], [1, 2, 0]]
)  # 12 wrong pixels: 8 of a and b, 2 of a and c, 2 of b and c
SIMILARITY = np.array([[0.0, 1.0, 4.0], [3.0, 0.0, 6.0], [8.0, 6.0, 0.0]])


@pytest.fixture
def results(tmp_path):
    """Three classes; the students have the confusion and matrix above."""
    tree = Tree(tmp_path, classes=("a", "b", "c"), seeds=(0,), num_images=4).write()
    loaded = tree.load()
    runs = {
        key: replace(run, confusion=CONFUSION[None], ics=SIMILARITY) if key[1] == "aicsd" else run
        for key, run in loaded.runs.items()
    }
    teacher = replace(loaded.teacher, ics=SIMILARITY + 1 - np.eye(3))
    return replace(loaded, runs=runs, teacher=teacher)


def own(table, method="aicsd"):
    return table[table["method"] == method].reset_index(drop=True)


def test_shares_and_similarities_are_those_of_the_pair_in_both_directions(results):
    table = own(pairs_table.rows(results, focus="aicsd"))
    assert list(zip(table["class_a"], table["class_b"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert list(table["errors_share"]) == pytest.approx([100 * 8 / 12, 100 * 2 / 12, 100 * 2 / 12])
    assert list(table["similarity"]) == [2.0, 6.0, 6.0]
    assert list(table["similarity_teacher"]) == [3.0, 7.0, 7.0]
    assert list(table["similarity_difference"]) == [-1.0, -1.0, -1.0]


def test_a_class_that_is_not_in_the_labels_has_no_pairs(results):
    absent = CONFUSION.copy()
    absent[2] = 0
    key = ("resnet18", "aicsd", 0)
    changed = replace(results, runs=results.runs | {key: replace(results.runs[key], confusion=absent[None])})
    table = own(pairs_table.rows(changed, focus="aicsd"))
    assert [(row.class_a, row.class_b) for row in table.itertuples()] == [("a", "b")]
    assert table["errors_share"][0] == pytest.approx(100 * 8 / 9)  # one more pixel was taken for c


def test_teacher_student_alone_and_focus_are_compared(results):
    assert list(pairs_table.rows(results, focus="aicsd")["method"].unique()) == ["teacher", "none", "aicsd"]


def pairs_of(likeness, shares):
    return pd.DataFrame(
        {
            "student": "resnet18",
            "method": "aicsd",
            "errors_share": shares,
            "similarity": [-value for value in likeness],
        }
    )


@pytest.mark.parametrize(
    ("shares", "rho", "meaning"),
    [
        ([1.0, 2.0, 3.0, 4.0], "+1.00", "are confused more often"),
        ([4.0, 3.0, 2.0, 1.0], "−1.00", "are confused less often"),
        ([2.0, 4.0, 1.0, 3.0], "+0.00", "says little"),
    ],
)
def test_the_sentence_follows_the_rank_correlation(shares, rho, meaning):
    (sentence,) = pairs_table.correlation_sentences(pairs_of([1.0, 2.0, 3.0, 4.0], shares))
    assert f"is {rho} over 4 pairs" in sentence
    assert meaning in sentence


def test_without_any_difference_there_is_no_correlation():
    assert list(pairs_table.correlation_sentences(pairs_of([1.0, 2.0], [0.0, 0.0]))) == []


def test_the_page_shows_the_pairs_with_the_most_errors(tree: Tree):
    table = pairs_table.rows(tree.load(), focus="aicsd")
    shown = pairs_table.display(table)
    assert len(own(table)) == 36
    assert len(shown.rows) == 3 * pairs_table.NUM_DISPLAYED
    assert shown.rows[0][4].text != "–"
    assert [cell.text for cell in shown.rows[0][5:]] == ["–", "–"]  # the teacher is its own teacher
