import json

import numpy as np
import pytest
from scipy import stats
from tests.imports import ROOT
from tests.reporting.tree import Tree, write_json

from icsd.methods import METHODS
from icsd.reporting import differences
from icsd.reporting.results import Results
from icsd.reporting.tables import fidelity as fidelity_table
from icsd.reporting.tables.fidelity import HEADERS, NOT_MEASURED, entries
from icsd.yaml_files import read_yaml

BLOCKS = read_yaml(ROOT / "params.yaml")["methods"]
MIOU = {"icsd": (0.50, 0.52, 0.51), "icsd_released": (0.49, 0.53, 0.48), "kd": (0.4, 0.4, 0.4)}


def measured(tmp_path, methods: tuple[str, ...], seeds: tuple[int, ...] = (0, 1, 2)) -> Results:
    tree = Tree(tmp_path, methods=methods, seeds=seeds, quality=dict.fromkeys((*methods, "teacher"), 0.6))
    tree.write()
    for method in set(methods) & set(MIOU):
        for seed in seeds:
            tree.edit_metrics(method, "resnet18", seed, {"miou": MIOU[method][seed]})
    return tree.load()


def rows(results: Results):
    return fidelity_table.rows(results, differences.resample(results, resamples=50, seed=0))


def worth(results: Results):
    return fidelity_table.worth(results, differences.resample(results, resamples=50, seed=0))


def test_every_method_has_its_line():
    assert set(METHODS) <= set(entries())


def test_every_line_is_about_a_method_or_the_schedule():
    assert set(entries()) - {"alw"} <= set(METHODS)


@pytest.mark.parametrize("name", entries())
def test_a_line_says_what_it_is_and_fits_a_cell(name: str):
    entry = entries()[name]
    assert entry.released
    assert all(entry.released)
    assert len(entry.equation) < 170
    assert "arXiv" in entry.paper or "20" in entry.paper or name == "none"


@pytest.mark.parametrize("name", METHODS)
def test_the_documentation_lists_every_method_with_its_terms(name: str):
    lines = (ROOT / "docs/methods.md").read_text(encoding="utf-8").split("## Terms")[1].splitlines()
    row = next(line for line in lines if line.startswith(f"| `{name}` | "))
    terms = row.split("|")[2]
    method = METHODS[name]
    assert [term.strip(" `") for term in terms.split(",")] == list(method.terms if method else "–")


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method and method.left_out])
def test_what_a_method_leaves_out_is_in_its_line(name: str):
    left_out = METHODS[name].left_out
    assert left_out.split()[0] in entries()[name].left_out


def test_what_can_be_measured_has_blocks_in_params_yaml():
    pairs = [pair for entry in entries().values() for pair in entry.measured]
    assert pairs
    assert {name for pair in pairs for name in pair} <= set(BLOCKS)


def test_only_methods_of_the_grid_have_lines(tmp_path):
    table = rows(measured(tmp_path, ("none", "kd_alw")))
    assert table["method"].tolist() == ["Student alone", "KD", "ALW"]
    assert len(table.columns) == len(HEADERS)


def test_a_block_with_a_name_of_its_own_has_the_line_of_its_method(tmp_path):
    tree = Tree(tmp_path, methods=("none", "mine"), quality=dict.fromkeys(("teacher", "none", "mine"), 0.6))
    tree.write()
    for seed in tree.seeds:
        path = tree.folder("runs", "mine", "resnet18", seed) / "train.json"
        record = json.loads(path.read_text())
        write_json(path, record | {"params": {"method": {"method": "cwd", "alw": False}}})
    assert rows(tree.load())["method"].tolist() == ["Student alone", "CWD"]


def test_no_text_is_missing_and_what_was_not_measured_says_so(tmp_path):
    table = rows(measured(tmp_path, ("none", "kd", "icsd", "aicsd"), seeds=(0,)))
    assert table.notna().all(axis=None)
    assert set(table["worth"]) == {NOT_MEASURED}


def test_a_deviation_is_worth_its_paired_difference(tmp_path):
    (row,) = worth(measured(tmp_path, ("icsd", "icsd_released"))).to_dict("records")
    points = 100 * (np.array(MIOU["icsd_released"]) - np.array(MIOU["icsd"]))
    assert row["delta_mean"] == pytest.approx(points.mean())
    assert row["delta_std"] == pytest.approx(points.std(ddof=1))
    assert row["p"] >= stats.ttest_1samp(points, 0).pvalue  # of the seeds alone
    assert row["p_holm"] == row["p"]


def test_its_worth_in_words(tmp_path):
    results = measured(tmp_path, ("icsd", "icsd_released"))
    (text,) = rows(results).query("method == 'ICSD'")["worth"]
    assert (
        text
        == "ICSD (released) − ICSD: −1.00 ± 2.00 points, ResNet-18 on shapes (3 seeds, corrected p 0.478)"
    )


def test_one_seed_allows_no_inference(tmp_path):
    results = measured(tmp_path, ("icsd", "icsd_released"), seeds=(1,))
    (text,) = rows(results)["worth"]
    assert text == "ICSD (released) − ICSD: +1.00 points, ResNet-18 on shapes (1 seed, no inference)"


def test_a_missing_run_leaves_its_seed_out(tmp_path):
    measured(tmp_path, ("icsd", "icsd_released"))
    (tmp_path / "results/shapes/icsd/resnet18-2/metrics.json").unlink()
    results = Tree(tmp_path, methods=("icsd", "icsd_released"), seeds=(0, 1, 2)).load()
    (row,) = worth(results).to_dict("records")
    assert row["n_pairs"] == 2
    assert row["delta_mean"] == pytest.approx(0.0)


def test_every_student_has_its_own_difference(tmp_path):
    methods = ("kd", "kd_alw")
    tree = Tree(tmp_path, methods=methods, students=("resnet18", "mobilenetv2"))
    tree.quality |= dict.fromkeys(methods, 0.6)
    table = worth(tree.write().load())
    assert table[["method", "student"]].to_numpy().tolist() == [["alw", "resnet18"], ["alw", "mobilenetv2"]]
