from pathlib import Path

import pytest

from icsd.runs import RunKey, main_root, sha256_of, write_bytes, write_json


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


def test_equal_values_are_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "deeper/b.json", {"a": "é", "b": 1})
    assert sha256_of(tmp_path / "a.json") == sha256_of(tmp_path / "deeper/b.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
