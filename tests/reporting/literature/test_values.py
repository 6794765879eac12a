from typing import Any

import pandas as pd
import pytest
from tests.reporting.tree import Tree

from icsd.records import TrainRecord
from icsd.reporting.literature.values import (
    deviations,
    matching_value,
    protocols,
    published_rows,
    published_value,
)
from icsd.reporting.tables import published as published_table


@pytest.mark.parametrize(
    ("dataset", "student", "method", "metric", "mean", "std"),
    [
        ("voc2012", "resnet101", "teacher", "miou", 77.85, None),
        ("voc2012", "resnet18", "aicsd", "miou", 70.03, 0.13),
        ("voc2012", "mobilenetv2", "ickd", "miou", 67.01, 0.10),
        ("cityscapes", "resnet18", "aicsd", "miou", 68.46, None),
        ("cityscapes", "mobilenetv2", "sp", "class_accuracy", 75.28, None),
        ("voc2012", "resnet18", "attnfd", "miou", 73.09, 0.06),
        ("cityscapes", "resnet18", "overhaul", "class_accuracy", 80.10, None),
    ],
)
def test_values_as_printed(
    dataset: str, student: str, method: str, metric: str, mean: float, std: float | None
):
    found = published_value(dataset, student, method, metric)
    assert found is not None
    assert (found["mean"], found["std"]) == (mean, std)


def test_every_source_has_all_its_numbers():
    assert published_rows().groupby("paper").size().to_dict() == {
        # 13 of VOC; 13 of Cityscapes, twice
        "AICSD": 13 + 2 * 13,
        "Mansourian 2023": 1 + 2 * 4,
        "AICSD 2022": 2 + 8,
        # VOC with its two baselines; Cityscapes, twice
        "AttnFD": 2 + 6 + 2 * 6,
        "Overhaul": 1 + 2 * 2,
        "ICKD": 2 * 4,
        # CamVid, VOC, Cityscapes val (two networks, SegFormer, PSPNet) and test
        "CIRKD": 5 + 5 + (1 + 2 * 6 + 7 + 2) + (1 + 3 * 2),
        "CIRKDV2": 1 + 2,
        # SKD, IFVD, CWD, Af-DCD on two networks each; of Cityscapes what CIRKD does not have
        "Af-DCD": 2 * 4 + 2 * 4 + 2 * 2,
        "SKD": 4 + 2 + 3,
        "CWD": 2 * 2 + 2 + 2 + 9,
        "mmrazor": 3,
        "DIST": 1 + 2 * 2,
        "MGD": 2 * 2,
        "BPKD": 2 * 7,
        "Ali 2026": 2,
    }


@pytest.mark.parametrize(
    ("paper", "where", "means"),
    [
        ("AICSD 2022", {"method": "features"}, [67.65, 67.75, 69.15, 69.38, 69.82, 69.43]),
        ("Mansourian 2023", {"student": "mobilenetv2"}, [62.92, 64.48, 63.56, 64.71]),
        ("ICKD", {"student": "resnet18"}, [74.14, 74.97, 74.74, 75.01]),
        ("SKD", {"protocol": "skd-cityscapes"}, [69.10, 70.51, 71.78, 74.08, 75.3]),
        ("CWD", {"note": "the same configuration twice"}, [71.87, 75.21]),
        ("BPKD", {"student": "mobilenetv2"}, [75.29, 76.05, 76.97, 77.71, 77.97, 78.59]),
        ("DIST", {"architecture": "pspnet"}, [72.55, 76.31]),
        ("Af-DCD", {"dataset": "camvid", "architecture": "deeplabv3"}, [67.46, 67.28, 67.71, 69.27]),
    ],
)
def test_tables_of_others_as_printed(paper: str, where: dict[str, str], means: list[float]):
    rows = published_rows()
    rows = rows[rows["paper"] == paper]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert rows["mean"].tolist() == means


def test_printed_gains_follow_from_the_values_but_for_one_column():
    rows = published_rows()
    gains = rows[rows["gain"].notna()]
    assert len(gains) == 20 + 1
    keys = ["paper", "dataset", "student", "architecture", "metric"]
    alone = rows[(rows["method"] == "none") & rows["variant"].isna()].set_index(keys)["mean"]
    implied = gains["mean"] - gains["gain"]
    stated = pd.Series([alone[tuple(row[key] for key in keys)] for _, row in gains.iterrows()], gains.index)
    odd = (gains["paper"] == "AICSD") & (gains["student"] == "resnet18")
    odd &= gains["metric"] == "class_accuracy"
    assert (implied[~odd] - stated[~odd]).abs().max() < 1e-9
    # 74.8 is printed for the student alone
    assert dict(zip(gains["method"][odd], implied[odd].round(2), strict=True)) == {
        "kd": 74.58,
        "ad": 74.58,
        "sp": 74.85,
        "ickd": 74.58,
        "aicsd": 74.58,
    }


def test_what_a_follow_up_quotes_is_what_the_first_paper_printed():
    for method in ("none", "kd", "teacher"):
        rows = published_rows()[
            (published_rows()["method"] == method) & (published_rows()["architecture"] == "deeplabv3plus")
        ]
        for _, group in rows[rows["paper"].isin(["AICSD", "AttnFD"])].groupby(
            ["dataset", "student", "metric"]
        ):
            assert group["mean"].nunique() == 1


def test_attention_transfer_stands_beside_the_row_called_ad():
    assert published_value("voc2012", "resnet18", "at") == published_value("voc2012", "resnet18", "ad")
    row = published_value("voc2012", "resnet18", "at")
    assert row is not None
    assert any("AD" in text for text in deviations(row))


def test_other_papers_are_listed_but_never_stand_beside_ours():
    camvid = published_table.rows("camvid")
    cirkd = camvid[(camvid["method"] == "cirkd") & (camvid["architecture"] == "pspnet")]
    assert cirkd["mean"].tolist() == [68.65]
    assert "PSPNet instead of DeepLabV3+" in cirkd["deviations"].item()
    assert published_value("camvid", "resnet18", "none") is None


@pytest.mark.parametrize("dataset", ["camvid", "voc2012"])
def test_a_protocol_and_what_differs_in_it_is_said_once_for_all_of_its_rows(dataset: str):
    table = published_table.rows(dataset, training())
    shown = published_table.display(table)
    assert "Protocol" in shown.headers
    protocols_and_sources = table[["protocol", "deviations", "source"]].drop_duplicates()
    assert len(shown.notes) == len(protocols_and_sources) < len(shown.rows)
    for row, cells in zip(table.to_dict("records"), shown.rows, strict=True):
        note = shown.notes[int(cells[-1].text) - 1]
        assert note == (
            f"Protocol {cells[-1].text} ({row['source']}): {row['protocol']}."
            f" Different from here: {row['deviations']}."
        )


def test_every_row_is_named_once_and_plausible():
    rows = published_rows()
    keys = ["paper", "dataset", "student", "architecture", "method", "variant", "metric", "protocol"]
    assert not rows.duplicated(keys).any()
    assert rows["mean"].between(50, 90).all()
    assert rows["source"].notna().all()
    assert set(rows["protocol"]) == set(protocols())


def training(**changes: object) -> TrainRecord:
    record = {
        "schema": 2,
        "kind": "student",
        "dataset": "voc2012",
        "method": "kd",
        "network": {"backbone": "resnet18", "width": 1.0, "output_stride": 16},
        "seed": 0,
        "pretrained": True,
        "epochs": 120,
        "batch": 6,
        "crop": (513, 513),
        "num_train_images": 1464,
        "num_validation_images": 0,
        "selected": "last",
        "selected_epoch": 120,
        "params": {},
    }
    return TrainRecord.model_validate(record | changes)


def test_the_published_settings_deviate_only_where_every_run_of_ours_does():
    row = published_value("voc2012", "resnet18", "kd")
    assert row is not None
    assert deviations(row, training()) == deviations(row) == protocols()["aicsd-voc"].deviations


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_train_images": 10_582}, "1464 training images, here 10582"),
        ({"epochs": 20}, "120 epochs, here 20"),
        ({"batch": 16}, "batch 6, here 16"),
        ({"crop": (360, 480)}, "crop 513 × 513, here 360 × 480"),
        ({"pretrained": False}, "ImageNet weights, here from scratch"),
        (
            {"network": {"backbone": "resnet18", "width": 0.25, "output_stride": 16}},
            "full width, here 0.25",
        ),
        ({"network": {"backbone": "resnet18", "width": 1.0, "output_stride": 8}}, "output stride 16, here 8"),
    ],
)
def test_a_setting_of_ours_that_differs_is_named(changes: dict[str, object], named: str):
    row = published_value("voc2012", "resnet18", "kd")
    assert row is not None
    assert set(deviations(row, training(**changes))) - set(deviations(row)) == {named}
    listed: Any = published_table.rows("voc2012", training(**changes)).set_index(
        ["paper", "student", "method"]
    )
    assert named in listed.loc[("AICSD", "resnet18", "kd"), "deviations"]


def test_narrow_networks_have_nothing_beside_them(tmp_path):
    tree = Tree(tmp_path, dataset="voc2012").write()
    assert published_value("voc2012", "resnet18", "aicsd") is not None
    assert matching_value(tree.load(), "resnet18", "aicsd") is None


def test_a_run_that_is_missing_does_not_hide_what_was_published(tmp_path):
    found = matching_value(Tree(tmp_path, dataset="voc2012").load(), "resnet18", "aicsd")
    assert found is not None
    assert found["mean"] == 70.03
    assert "SBD" in str(found["deviations"])
