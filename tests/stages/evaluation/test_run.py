"""What evaluation does with a network that has no score."""

import json

import pytest
import torch
from tests.project import change, outputs

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.models.weights import load_network, save_weights


def set_first_weight(path, value):
    network = load_network(path)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = value
    save_weights(network, path)
    record = path.with_name("train.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"weights_sha256": sha256_of(path)}))


def test_a_student_that_diverged_is_recorded_and_stops_nobody(project, capsys):
    from icsd.reporting.reading import load_results
    from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher
    from icsd.stages.training.run import train_student, train_teacher

    change(project, grid={"seeds": [0, 1]}, train={"epochs": 1}, teacher={"epochs": 1})
    train_teacher(project)
    evaluate_teacher(project)
    for seed in (0, 1):
        train_student(project, method="kd", student="resnet18", seed=seed)
    set_first_weight(project / "runs/shapes/kd/resnet18-0/student.safetensors", float("nan"))
    evaluate_students(project, method="kd")
    assert "kd · resnet18 · seed 0: diverged" in capsys.readouterr().out
    record = json.loads((project / "results/shapes/kd/resnet18-0/diverged.json").read_text())
    assert record["not_finite"] == ["backbone.conv1.weight"]
    assert not (project / "results/shapes/kd/resnet18-0/metrics.json").exists()
    assert (project / "results/shapes/kd/resnet18-1/metrics.json").exists()
    results = load_results(project, dataset="shapes", methods=["kd"], students=["resnet18"], seeds=[0, 1])
    assert results.gaps == (
        "results/shapes/kd/resnet18-0: the training diverged, its weights are not finite",
    )


def test_a_teacher_that_diverged_is_an_error(project):
    from icsd.stages.evaluation.run import evaluate_teacher
    from icsd.stages.training.run import train_teacher

    train_teacher(project)
    set_first_weight(project / "runs/shapes/teacher/teacher.safetensors", float("nan"))
    with pytest.raises(UserError, match="the teacher's training diverged"):
        evaluate_teacher(project)


def test_finite_weights_whose_logits_overflow_are_told_to_the_user(project):
    from icsd.stages.evaluation.run import evaluate_students
    from icsd.stages.training.run import train_student, train_teacher

    train_teacher(project)
    train_student(project, method="none", student="resnet18", seed=0)
    weights = project / "runs/shapes/none/resnet18-0/student.safetensors"
    set_first_weight(weights, torch.finfo(torch.float32).max)
    with pytest.raises(UserError, match=r"none · resnet18 · seed 0: kl is not a finite number"):
        evaluate_students(project, method="none")
    assert not (project / "results/shapes/none/resnet18-0").exists()


def test_results_stay_until_those_of_all_students_are_there(project, monkeypatch):
    from icsd.stages.evaluation import run
    from icsd.stages.training.run import train_student, train_teacher

    change(project, grid={"seeds": [0, 1]}, train={"epochs": 1})
    train_teacher(project)
    for seed in (0, 1):
        train_student(project, method="none", student="resnet18", seed=seed)
    run.evaluate_students(project, method="none")
    before = outputs(project / "results")
    assert len(before) == 8
    set_first_weight(project / "runs/shapes/none/resnet18-0/student.safetensors", 1.0)
    (project / "runs/shapes/none/resnet18-1/student.safetensors").unlink()
    with pytest.raises(UserError, match="there is no network"):
        run.evaluate_students(project, method="none")
    assert outputs(project / "results") == before


@pytest.mark.parametrize("whose", ["teacher/teacher", "none/resnet18-0/student"])
def test_weights_with_a_changed_bit_are_not_measured(project, whose):
    from icsd.stages.evaluation.run import evaluate_students
    from icsd.stages.training.run import train_student, train_teacher

    change(project, train={"epochs": 1}, teacher={"epochs": 1})
    train_teacher(project)
    train_student(project, method="none", student="resnet18", seed=0)
    path = project / f"runs/shapes/{whose}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^runs/shapes/{whose}\.safetensors: damaged or replaced"):
        evaluate_students(project, method="none")
    if whose.startswith("teacher"):
        with pytest.raises(UserError, match="`dvc repro -f -s train_teacher` makes it anew"):
            train_student(project, method="kd", student="resnet18", seed=0)
