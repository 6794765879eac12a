"""The table of the champions' files: numbers, verdicts and the gate."""

import numpy as np
import pandas as pd
import pytest
from tests.reporting.deployed import write_deployed
from tests.reporting.tree import Tree

from icsd.core.metrics import iou_per_class, mean_iou
from icsd.errors import UserError
from icsd.reporting.champion import Decision
from icsd.reporting.deployed import load_deployed
from icsd.reporting.differences import resample
from icsd.reporting.tables import deployment
from icsd.reporting.tables.writers import read_csv, to_csv

SAME: dict[int, int] = {}
LITTLE = {0: 1}
MUCH = {0: 40, 3: 25, 5: 2}
FORMATS = ("onnx", "torch", "int8")


def table_of(tree: Tree, *, rope: float = 0.5, clips: str | None = None) -> pd.DataFrame:
    results = tree.load()
    resampled = resample(results, resamples=400, seed=0, clips=clips)
    return deployment.rows(results, load_deployed(tree.root, results), resampled, rope=rope)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    tree = Tree(tmp_path_factory.mktemp("files"), seeds=(0,), num_images=30).write()
    write_deployed(tree, "aicsd", {"onnx": SAME, "torch": LITTLE, "int8": MUCH})
    return tree


@pytest.fixture(scope="module")
def table(tree: Tree) -> pd.DataFrame:
    return table_of(tree)


def row_of(table: pd.DataFrame, form: str) -> "pd.Series[float]":
    return table[table["form"] == form].iloc[0]


def test_there_is_a_row_for_every_network_and_every_file(table: pd.DataFrame):
    assert list(zip(table["method"], table["form"], strict=True)) == [
        *((name, "pytorch") for name in ("teacher", "none", "aicsd")),
        *(("aicsd", name) for name in ("onnx", "torch", "int8")),
    ]
    assert list(table["megabytes"]) == [90, 4, 4, 4, 2, pytest.approx(4 / 3, abs=1e-6)]
    assert row_of(table, "int8")["p50_ms"] == pytest.approx(5 / 3)


def test_differences_are_those_of_the_confusion_matrices_and_their_intervals_are_paired(
    tree: Tree, table: pd.DataFrame
):
    """Each interval anew, image by image: a resample is a list of images."""
    results = tree.load()
    counts = {
        name: np.load(tree.root / f"deployed/shapes/resnet18/{name}.npz")["confusion"] for name in FORMATS
    }
    others = {
        "own": results.runs["resnet18", "aicsd", 0].confusion,
        "alone": results.runs["resnet18", "none", 0].confusion,
        "teacher": results.teacher.confusion,
    }
    weights = resample(results, resamples=400, seed=0).weights
    drawn = [np.repeat(np.arange(30), row.astype(int)) for row in weights]
    for name, own in counts.items():
        row = row_of(table, name)
        assert row["miou"] == pytest.approx(100 * mean_iou(own.sum(0)))
        for other, theirs in others.items():
            assert row[f"{other}_delta"] == pytest.approx(
                100 * (mean_iou(own.sum(0)) - mean_iou(theirs.sum(0)))
            )
            values = [100 * (mean_iou(own[each].sum(0)) - mean_iou(theirs[each].sum(0))) for each in drawn]
            half = (row[f"{other}_high"] - row[f"{other}_low"]) / 2
            student_t = 2.0452  # 97.5 % of 29 degrees of freedom
            assert half == pytest.approx(student_t * np.std(values) * np.sqrt(30 / 29), rel=1e-3, abs=1e-9)
    assert (row_of(table, "pytorch").filter(like="own")).isna().all()


def test_a_file_keeps_loses_or_may_lose(table: pd.DataFrame):
    assert [row_of(table, name)["verdict"] for name in FORMATS] == [
        deployment.KEPT,
        deployment.KEPT,
        deployment.LOST,
    ]
    assert row_of(table, "onnx")["own_delta"] == row_of(table, "onnx")["own_low"] == 0
    assert row_of(table, "torch")["own_high"] < 0, "surely worse, and negligibly"


@pytest.mark.parametrize(
    ("low", "high", "rope", "verdict"),
    [
        (-0.4, -0.1, 0.5, deployment.KEPT),
        (-0.5, 0.2, 0.5, deployment.KEPT),
        (-0.6, 0.2, 0.5, deployment.OPEN),
        (-0.6, -0.01, 0.5, deployment.LOST),
        (0.0, 0.0, 0.0, deployment.KEPT),
        (-0.1, 0.0, 0.0, deployment.OPEN),
        (None, None, 0.5, None),
    ],
)
def test_the_verdict_follows_from_the_interval(
    low: float | None, high: float | None, rope: float, verdict: str | None
):
    assert deployment.verdict_of(0.0, low, high, rope=rope) == verdict


def test_a_file_that_loses_says_so_with_the_classes_that_lose_most(tree: Tree, table: pd.DataFrame):
    [said] = deployment.losses(table)
    assert said.startswith("ResNet-18, AICSD: int8 loses mIoU, and not by chance: −")
    own = tree.load().runs["resnet18", "aicsd", 0].confusion
    counts = np.load(tree.root / "deployed/shapes/resnet18/int8.npz")["confusion"]
    assert own is not None
    lost = 100 * (iou_per_class(counts.sum(0)) - iou_per_class(own.sum(0)))
    named = said.split("lose most: ")[1]
    for place, index in enumerate(np.argsort(lost)[:3]):
        assert named.split(", ")[2 * place].startswith(f"{tree.classes[index]} (−{-lost[index]:.1f}")
    assert "tree" not in named  # which loses nothing, or not surely


def test_each_file_has_a_sentence_under_the_table(table: pd.DataFrame):
    shown = deployment.display(table)
    assert [row[1].text for row in shown.rows] == [
        *("Teacher, PyTorch", "Student alone, PyTorch", "AICSD, PyTorch"),
        *("AICSD, ONNX", "AICSD, torch.export", "AICSD, int8"),
    ]
    assert "ONNX keeps its mIoU: +0.00 points (95 % interval +0.00 to +0.00)" in shown.notes[0]
    assert "nan" not in str(shown)
    assert "by turns (a machine, 1 thread, image of 96 × 96)" in shown.notes[-1]


def test_durations_of_an_older_record_name_no_machine(table: pd.DataFrame):
    shown = deployment.display(table.assign(timed_on=None))
    assert "by turns (one machine)" in shown.notes[-1]


def test_one_clip_gives_no_interval_and_no_verdict(tree: Tree):
    table = table_of(tree, clips="0")
    assert table["verdict"].isna().all()
    assert table["miou_low"].isna().all()
    assert "there is no interval" in deployment.sentences(table)[0]
    refused = deployment.gated(Decision("aicsd", "it is better"), files=table)
    assert refused.method is None


def test_without_files_there_are_no_rows(tmp_path):
    assert len(table_of(Tree(tmp_path).write())) == 0


def test_files_of_another_network_or_on_other_images_are_refused(tmp_path):
    tree = Tree(tmp_path, seeds=(0,)).write()
    folder = write_deployed(tree, "aicsd", {"onnx": SAME})
    tree.edit_metrics("aicsd", "resnet18", 0, {"weights_sha256": "f" * 64})
    with pytest.raises(UserError, match="of another network than results/shapes; run `dvc repro deploy`"):
        table_of(tree)
    write_deployed(tree, "none", {"onnx": SAME})
    stored = np.load(folder / "resnet18/onnx.npz")
    np.savez(folder / "resnet18/onnx.npz", confusion=stored["confusion"], ids=stored["ids"][::-1])
    with pytest.raises(UserError, match=r"onnx\.npz: was measured on other images"):
        table_of(tree)


@pytest.fixture
def written(table: pd.DataFrame, tmp_path):
    """The table as the registry reads it."""
    (tmp_path / "deployment.csv").write_text(to_csv(table))
    return read_csv(tmp_path / "deployment.csv")


def test_the_gate_lets_nobody_through_whose_file_loses(written: pd.DataFrame):
    decision = Decision("aicsd", "AICSD is 5.00 points above Student alone")
    refused = deployment.gated(decision, files=written)
    assert refused.method is None
    assert refused.reason.startswith(
        "AICSD does not take over, as deploy.gate asks its files: int8 loses mIoU"
    )
    assert refused.reason.endswith("AICSD is 5.00 points above Student alone")
    assert deployment.gated(decision, files=written[written["form"] != "int8"]) == decision


@pytest.mark.parametrize("has_files", [True, False])
def test_the_gate_lets_nobody_through_whose_files_were_not_measured(written: pd.DataFrame, has_files: bool):
    refused = deployment.gated(Decision("kd", "KD is better"), files=written if has_files else None)
    assert refused.method is None
    assert "they were not measured" in refused.reason


def test_the_gate_leaves_a_champion_that_stays(written: pd.DataFrame):
    stays = Decision(None, "Student alone stays")
    assert deployment.gated(stays, files=written) == stays


def test_mlflow_gets_the_numbers_of_files(written: pd.DataFrame):
    numbers = dict(deployment.flat_numbers(written))
    assert numbers["deployed/resnet18/int8/own_delta"] == pytest.approx(row_of(written, "int8")["own_delta"])
    assert {name.split("/")[2] for name in numbers} == set(FORMATS)
    assert all(np.isfinite(value) for value in numbers.values())
