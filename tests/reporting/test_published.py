import pytest

from icsd.reporting.published import published, published_on


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
    found = published(dataset, student, method, metric)
    assert found is not None
    assert (found["mean"], found["std"]) == (mean, std)


@pytest.mark.parametrize(
    ("student", "metric", "deltas"),
    [
        ("resnet18", "miou", {"kd": 1.12, "ad": 1.20, "sp": 1.55, "ickd": 2.89, "aicsd": 4.37}),
        ("mobilenetv2", "miou", {"kd": 0.98, "ad": 0.67, "sp": 1.17, "ickd": 2.50, "aicsd": 3.48}),
        ("mobilenetv2", "class_accuracy", {"kd": 1.96, "ad": 1.41, "sp": 1.90, "ickd": 3.10, "aicsd": 3.58}),
    ],
)
def test_the_gains_printed_for_cityscapes_follow_from_the_values(
    student: str, metric: str, deltas: dict[str, float]
):
    def value(method: str) -> float:
        found = published("cityscapes", student, method, metric)
        assert found is not None
        return float(str(found["mean"]))

    assert {method: round(value(method) - value("none"), 2) for method in deltas} == deltas


def test_other_papers_are_listed_but_never_stand_beside_ours():
    camvid = published_on("camvid")
    cirkd = camvid[(camvid["method"] == "cirkd") & (camvid["architecture"] == "pspnet")]
    assert cirkd["mean"].tolist() == [68.65]
    assert published("camvid", "resnet18", "none") is None


def test_every_row_is_named_once_and_plausible():
    rows = published_on("voc2012")
    keys = ["paper", "student", "architecture", "method", "metric", "protocol"]
    assert not rows.duplicated(keys).any()
    assert rows["mean"].between(50, 90).all()
    assert rows[["protocol", "source"]].notna().all(axis=None)
