from pathlib import Path

import pytest

from icsd.runs import RunKey, advice_for, main_root


def test_a_student_and_the_teacher_have_their_places():
    student = RunKey("camvid", "aicsd", "resnet18", 1)
    assert student.weights == Path("runs/camvid/aicsd/resnet18-1/student.safetensors")
    assert student.results == Path("results/camvid/aicsd/resnet18-1")
    assert student.cost == Path("costs/camvid/aicsd/resnet18-1.json")
    teacher = RunKey.teacher("camvid", backbone="resnet101", seed=0)
    assert teacher.weights == Path("runs/camvid/teacher/teacher.safetensors")
    assert teacher.cost == Path("costs/camvid/teacher.json")


def test_state_is_kept_in_the_main_repository_under_what_determines_it(monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    key = RunKey("shapes", "kd", "resnet18", 0)
    assert main_root() == tmp_path
    assert key.state("abc") == tmp_path / ".state/runs/shapes-kd-resnet18-0-abc"
    assert key.state("abc") != key.state("abd")


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("runs/shapes/teacher/train.json", "train_teacher"),
        ("costs/shapes/teacher.json", "train_teacher"),
        ("runs/shapes/kd/resnet18-0/train.json", "--glob '*@kd-resnet18-0'"),
        ("costs/shapes/kd/resnet18-0.json", "--glob '*@kd-resnet18-0'"),
        ("results/shapes/teacher/ics.npz", "evaluate_teacher"),
        ("results/shapes/kd/resnet18-0/ics.npz", "--glob 'evaluate_*@kd'"),
        ("deployed/shapes/deployment.json", "deploy"),
        ("deployed/shapes/resnet18/int8.npz", "deploy"),
    ],
)
def test_the_advice_for_a_damaged_output_names_its_stage(path, stage):
    assert advice_for(Path("/home/me/runs/icsd", path)) == (
        f"`dvc checkout -f {path}` restores it, or `dvc repro -f -s {stage}` makes it anew"
    )


def test_what_no_stage_writes_has_no_stage():
    assert "run what writes it again" in advice_for(Path("configs/tuned.json"))
