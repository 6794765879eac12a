from pathlib import Path

from icsd.runs import RunKey, main_root


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
