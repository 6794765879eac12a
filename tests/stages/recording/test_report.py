"""What MLflow is told of a report."""

from icsd.stages.recording.report import flat_numbers


def test_a_summary_becomes_flat_numbers_without_gaps():
    summary = {
        "dataset": "shapes",
        "teacher": {"miou": 0.9},
        "resnet18": {"aicsd": {"miou": 0.5, "low": None}, "none": {"miou": 1}},
    }
    assert dict(flat_numbers(summary)) == {
        "teacher/miou": 0.9,
        "resnet18/aicsd/miou": 0.5,
        "resnet18/none/miou": 1.0,
    }
