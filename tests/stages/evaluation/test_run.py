"""Evaluation of a network that cannot have a score."""

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


def test_a_student_that_diverged_is_recorded_and_stops_nobody(taught, capsys):
    from icsd.reporting.reading import load_results
    from icsd.stages.evaluation.run import evaluate_students, evaluate_teacher
    from icsd.stages.training.run import train_student

    change(taught, grid={"seeds": [0, 1]}, train={"epochs": 1})
    evaluate_teacher(taught)
    for seed in (0, 1):
        train_student(taught, method="kd", student="resnet18", seed=seed)
    set_first_weight(taught / "runs/shapes/kd/resnet18-0/student.safetensors", float("nan"))
    evaluate_students(taught, method="kd")
    assert "kd · resnet18 · seed 0: diverged" in capsys.readouterr().out
    record = json.loads((taught / "results/shapes/kd/resnet18-0/diverged.json").read_text())
    assert record["not_finite"] == ["backbone.conv1.weight"]
    assert not (taught / "results/shapes/kd/resnet18-0/metrics.json").exists()
    assert (taught / "results/shapes/kd/resnet18-1/metrics.json").exists()
    results = load_results(taught, dataset="shapes", methods=["kd"], students=["resnet18"], seeds=[0, 1])
    assert results.gaps == (
        "results/shapes/kd/resnet18-0: the training diverged, its weights are not finite",
    )


def test_a_teacher_that_diverged_is_an_error(taught):
    from icsd.stages.evaluation.run import evaluate_teacher

    set_first_weight(taught / "runs/shapes/teacher/teacher.safetensors", float("nan"))
    with pytest.raises(UserError, match="the teacher's training diverged"):
        evaluate_teacher(taught)


def test_finite_weights_whose_logits_overflow_are_told_to_the_user(taught):
    from icsd.stages.evaluation.run import evaluate_students
    from icsd.stages.training.run import train_student

    train_student(taught, method="none", student="resnet18", seed=0)
    weights = taught / "runs/shapes/none/resnet18-0/student.safetensors"
    set_first_weight(weights, torch.finfo(torch.float32).max)
    with pytest.raises(UserError, match=r"none · resnet18 · seed 0: kl is not a finite number"):
        evaluate_students(taught, method="none")
    assert not (taught / "results/shapes/none/resnet18-0").exists()


def test_results_stay_until_those_of_all_students_are_there(taught, monkeypatch):
    from icsd.stages.evaluation import run
    from icsd.stages.training.run import train_student

    change(taught, grid={"seeds": [0, 1]}, train={"epochs": 1})
    for seed in (0, 1):
        train_student(taught, method="none", student="resnet18", seed=seed)
    run.evaluate_students(taught, method="none")
    before = outputs(taught / "results")
    assert len(before) == 8
    set_first_weight(taught / "runs/shapes/none/resnet18-0/student.safetensors", 1.0)
    (taught / "runs/shapes/none/resnet18-1/student.safetensors").unlink()
    with pytest.raises(UserError, match="there is no network"):
        run.evaluate_students(taught, method="none")
    assert outputs(taught / "results") == before


@pytest.mark.parametrize("whose", ["teacher/teacher", "none/resnet18-0/student"])
def test_weights_with_a_changed_bit_are_not_measured(taught, whose):
    from icsd.stages.evaluation.run import evaluate_students
    from icsd.stages.training.run import train_student

    change(taught, train={"epochs": 1})
    train_student(taught, method="none", student="resnet18", seed=0)
    path = taught / f"runs/shapes/{whose}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^runs/shapes/{whose}\.safetensors: damaged or replaced"):
        evaluate_students(taught, method="none")
    if whose.startswith("teacher"):
        with pytest.raises(UserError, match="`dvc repro -f -s train_teacher` makes it anew"):
            train_student(taught, method="kd", student="resnet18", seed=0)
