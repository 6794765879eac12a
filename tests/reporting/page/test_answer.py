import pandas as pd
import pytest
from tests.reporting.tree import Tree

from icsd.reporting import differences
from icsd.reporting.page.answer import _tied, answer, verdict
from icsd.reporting.tables import comparison as comparison_table
from icsd.reporting.tables import contrasts as contrasts_table
from icsd.reporting.tables import decisions as decisions_table

NOTHING = pd.DataFrame({"student": [], "reference": []})


def sentences(tree: Tree, focus: str = "aicsd") -> str:
    results = tree.load()
    draws = differences.resample(results, resamples=200, seed=0)
    compared = comparison_table.rows(results, draws)
    contrasted = contrasts_table.rows(results, draws, focus=focus)
    decided = decisions_table.rows(results, draws, rope=0.5)
    blocks = answer(compared, contrasted, decided, focus=focus, num_gaps=len(results.gaps))
    return "\n".join(text for block in blocks for text in block)


@pytest.mark.parametrize(
    ("low", "high", "p", "n", "expected"),
    [
        (0.2, 0.9, 0.01, 3, "a clear gain"),
        (-0.9, -0.2, 0.01, 3, "a clear loss"),
        (
            0.2,
            0.9,
            0.30,
            3,
            "a gain taken alone, but not established by 3 seeds once corrected for all comparisons",
        ),
        (-0.2, 0.9, 0.01, 3, "not distinguishable from zero"),
        (0.2, 0.9, None, 1, "with one seed, training noise is unknown and nothing can be concluded"),
    ],
)
def test_verdicts_need_both_the_interval_and_the_seeds(
    low: float, high: float, p: float | None, n: int, expected: str
):
    assert verdict({"delta_low": low, "delta_high": high, "p_holm": p, "n": n}) == expected


def test_the_first_sentence_says_how_much_the_method_gains(tree: Tree):
    first = sentences(tree).splitlines()[0]
    assert first.startswith("ResNet-18: AICSD reaches ")
    assert "for the student alone, +" in first


def test_a_better_method_and_a_worse_one_are_both_named(tree: Tree):
    tree.quality |= {"kd": 0.75, "sp": 0.5}
    tree.methods = ("none", "kd", "sp", "aicsd")
    for method in ("kd", "sp"):
        for seed in tree.seeds:
            tree.write_run(method, "resnet18", seed)
    text = sentences(tree)
    assert "KD is higher (+" in text
    assert text.count("AICSD − KD: −") == 1
    assert "SP −" in text


def test_one_seed_concludes_nothing(tree: Tree):
    tree.seeds = (0,)
    text = sentences(tree)
    assert "nothing can be concluded" in text
    assert "With one seed the methods cannot be tested against each other." in text


def test_the_method_is_compared_with_kd_too(tree: Tree):
    assert "AICSD − KD" not in sentences(tree)
    tree.quality["kd"] = 0.62
    tree.methods = ("none", "kd", "aicsd")
    for seed in tree.seeds:
        tree.write_run("kd", "resnet18", seed)
    assert "AICSD − KD: +" in sentences(tree)


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        (["a", "a", "a", "a"], "Pairwise tests with 3 seeds tell no two of these 4 methods apart."),
        (["b", "a", "ab", "a"], "Told apart from AICSD, the highest, by pairwise tests: Student alone."),
        (["b", "b", "ab", "a"], "Not told apart from AICSD, the highest, by pairwise tests: ICSD."),
        (["d", "c", "b", "a"], "Not told apart from AICSD, the highest, by pairwise tests: none."),
        (["ab", "b", "ab", "a"], "Told apart from AICSD, the highest, by pairwise tests: KD."),
        (["ab", "b", "b", "ab"], "Told apart from AICSD, the highest, by pairwise tests: none."),
    ],
)
def test_ties_are_put_in_words(groups: list[str], sentence: str):
    names, means = ("none", "kd", "icsd", "aicsd"), (26.0, 27.0, 28.0, 29.0)
    rows = [
        {"method": name, "group": group, "miou_mean": mean, "n_seeds": 3}
        for name, group, mean in zip(names, groups, means, strict=True)
    ]
    assert _tied(rows) == [sentence]


def test_gaps_are_admitted(tree: Tree):
    (tree.root / "results/shapes/none/resnet18-0/ics.npz").unlink()
    assert "1 expected file was missing" in sentences(tree)


NO_GAIN = "ResNet-18: no gain can be stated, since no method and the student alone were both evaluated."


def test_without_the_student_alone_nothing_is_claimed_and_it_is_said_what_is_missing(tree: Tree):
    tree.methods = ("aicsd",)
    assert sentences(tree).splitlines() == [
        NO_GAIN,
        "The student alone is not in the grid: add none to grid.baselines.",
        "AICSD reaches 51.88 ± 0.13 % mIoU; the teacher reaches 75.12 %.",
    ]


def test_methods_without_the_student_alone_are_still_compared_with_each_other(tree: Tree):
    tree.quality |= {"kd": 0.62}
    tree.methods = ("kd", "aicsd")
    for seed in tree.seeds:
        tree.write_run("kd", "resnet18", seed)
    text = sentences(tree)
    assert "AICSD reaches 51.88 ± 0.13 % mIoU, the highest; the teacher reaches 75.12 %." in text
    assert "airwise tests" in text


def test_the_student_alone_alone_is_no_comparison(tree: Tree):
    tree.methods = ("none",)
    text = sentences(tree, focus="none")
    assert "No other method is in the grid: add one to grid.baselines or grid.distilled." in text
    assert "Student alone reaches 42.57 ± 0.40 % mIoU; the teacher reaches 75.12 %." in text


@pytest.mark.parametrize(
    ("lost", "first", "second"),
    [
        (("none",), NO_GAIN, "Without any result, missing or diverged: Student alone."),
        (("none", "aicsd"), NO_GAIN, "Without any result, missing or diverged: Student alone, AICSD."),
    ],
)
def test_what_has_no_result_is_named(tree: Tree, lost: tuple[str, ...], first: str, second: str):
    for method in lost:
        for seed in tree.seeds:
            (tree.root / f"results/shapes/{method}/resnet18-{seed}/metrics.json").unlink()
    assert sentences(tree).splitlines()[:2] == [first, second]


def test_a_focus_without_a_result_is_not_passed_over_in_silence(tree: Tree):
    tree.quality |= {"kd": 0.62}
    tree.methods = ("none", "kd", "aicsd")
    for seed in tree.seeds:
        tree.write_run("kd", "resnet18", seed)
        (tree.root / f"results/shapes/aicsd/resnet18-{seed}/metrics.json").unlink()
    first, *others = sentences(tree).splitlines()
    assert first.startswith("ResNet-18: KD reaches")
    assert "Without any result, missing or diverged: AICSD." in others


def test_published_gains_are_quoted(tree: Tree):
    voc = Tree(tree.root, dataset="voc2012", teacher="resnet101", width=1.0).write()
    assert "Published for ResNet-18 on this dataset, against their student alone: AICSD +2.53." in sentences(
        voc
    )


def test_a_teacher_no_better_than_the_student_is_said(tree: Tree):
    results = tree.load()
    draws = differences.resample(results, resamples=50, seed=0)
    compared = comparison_table.rows(results, draws)
    compared.loc[compared["method"] == "teacher", "miou_mean"] = 1.0
    blocks = answer(compared, NOTHING, NOTHING, focus="aicsd", num_gaps=0)
    assert any("it has little to teach" in text for text in blocks[0])
