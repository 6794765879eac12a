import csv
import json
import os
import shutil
import tempfile

import numpy as np
import pytest
import torch
from tests.project import change, entered, outputs

from icsd.data.shards import ShardedSplit
from icsd.data.subsets import chosen_images
from icsd.errors import UserError
from icsd.models.folding import num_batchnorms
from icsd.models.weights import load_network
from icsd.runs import RunKey
from icsd.stages.evaluation.run import evaluate_students
from icsd.stages.training import run as training
from icsd.stages.training.job import student_job
from icsd.stages.training.process import start_run
from icsd.stages.training.run import train_student, train_teacher
from icsd.stages.training.setup import set_up, train_images
from icsd.stages.validate import checked_params
from icsd.training.checkpoint import save_state


class Killed(Exception):
    """Simulates that the process is killed at the point where it is raised."""


def student(project, method="aicsd", seed=0):
    train_student(project, method=method, student="resnet18", seed=seed)
    return outputs(project / f"runs/shapes/{method}/resnet18-{seed}")


@pytest.fixture(scope="module")
def whole(taught_once, tmp_path_factory):
    """The result of a student's uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole") / "project"
    shutil.copytree(taught_once, folder)
    with entered(folder):
        return student(folder)


def forget(project):
    for name in ("runs/shapes/aicsd", "costs/shapes/aicsd", ".state"):
        shutil.rmtree(project / name, ignore_errors=True)


def test_a_student_becomes_weights_curves_and_a_description(taught):
    files = student(taught)
    assert set(files) == {"student.safetensors", "history.csv", "similarity.npz", "train.json"}
    assert (
        load_network(taught / "runs/shapes/aicsd/resnet18-0/student.safetensors").architecture.width == 0.125
    )
    lines = files["history.csv"].decode().splitlines()
    assert lines[0].split(",")[:7] == [
        *("epoch", "lr", "loss/total", "loss/ce", "loss/icsd", "loss/kd", "weight/ce")
    ]
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    described = json.loads(files["train.json"])
    assert described["num_train_images"] == 12
    assert described["params"]["alw"]["decay"] == "linear"
    cost = json.loads((taught / "costs/shapes/aicsd/resnet18-0.json").read_text())
    assert cost["seconds_training"] > 0
    assert cost["mlflow"] is None


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(taught, whole):
    assert student(taught) == whole
    assert student(taught, seed=1)["student.safetensors"] != whole["student.safetensors"]


def test_the_number_of_workers_changes_nothing(taught, whole):
    change(taught, runtime={"workers": 2})
    assert student(taught) == whole


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_run_ends_as_if_it_had_not_been(taught, whole, monkeypatch, epoch, when):
    save = save_state

    def save_and_die(state, path):
        if state["progress"]["epoch"] == epoch:
            if when == "after":
                save(state, path)
            raise Killed
        save(state, path)

    monkeypatch.setattr(training, "save_state", save_and_die)
    with pytest.raises(Killed):
        student(taught)
    assert not (taught / "runs/shapes/aicsd").exists()
    monkeypatch.setattr(training, "save_state", save)
    torch.manual_seed(123)  # nothing may depend on the state of the global generator
    assert student(taught) == whole


@pytest.mark.parametrize("damaged", [1, 2], ids=["the newest", "both"])
def test_a_run_whose_state_is_damaged_ends_as_if_it_had_not_been(taught, whole, monkeypatch, capsys, damaged):
    def save_and_damage(state, path):
        save_state(state, path)
        if state["progress"]["epoch"] == 2:
            for file in sorted(path.parent.glob("checkpoint*"))[::-1][:damaged]:
                content = bytearray(file.read_bytes())
                content[len(content) // 2] ^= 1
                file.write_bytes(content)
            raise Killed

    monkeypatch.setattr(training, "save_state", save_and_damage)
    with pytest.raises(Killed):
        student(taught)
    monkeypatch.setattr(training, "save_state", save_state)
    capsys.readouterr()
    assert student(taught) == whole
    out = capsys.readouterr().out
    assert ("resuming after epoch 1" if damaged == 1 else "training from the beginning") in out
    assert out.count("damaged") == damaged


def test_other_numbers_never_resume_from_old_state(taught):
    change(taught, train={"lr": 0.02})
    wanted = student(taught)
    forget(taught)
    change(taught, train={"lr": 0.1})
    student(taught)
    change(taught, train={"lr": 0.02})
    assert student(taught) == wanted


def test_methods_share_the_initial_weights(taught, monkeypatch):
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def remember(fabric, module, optimizer, progress, *, student, **_):
        seen[len(seen)] = {name: value.clone() for name, value in student.state_dict().items()}
        raise Killed

    monkeypatch.setattr(training, "fit", remember)
    for method in ("none", "kd", "aicsd"):
        with pytest.raises(Killed):
            student(taught, method)
    assert all(torch.equal(seen[0][name], seen[2][name]) for name in seen[0])
    assert all(torch.equal(seen[0][name], seen[1][name]) for name in seen[0])


def test_the_best_validated_weights_are_kept_where_that_is_asked_for(taught):
    change(taught, train={"select": "best_val", "validate_every": 1})
    described = json.loads(student(taught, "none")["train.json"])
    rows = (taught / "runs/shapes/none/resnet18-0/history.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/miou")
    scores = [float(row.split(",")[column]) for row in rows[1:]]
    assert described["selected_epoch"] == scores.index(max(scores)) + 1


def test_the_fast_mode_folds_what_teaches_and_leaves_the_teacher_for_the_monitor(taught, capsys):
    change(taught, runtime={"mode": "fast"})
    params = checked_params(taught)
    setup = set_up(start_run(taught, student_job(params, RunKey(params.dataset, "kd", "resnet18", 0))))
    distiller = setup.distiller
    assert num_batchnorms(distiller.teaching) == 0
    assert "runtime.fold_teacher: 29 of the teacher's 29 BatchNorms are folded" in capsys.readouterr().out
    stored = load_network(taught / "runs/shapes/teacher/teacher.safetensors").state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in distiller.teacher.state_dict().items())
    assert setup.optimizer.param_groups[0]["fused"]
    change(taught, runtime={"fold_teacher": False})
    params = checked_params(taught)
    setup = set_up(start_run(taught, student_job(params, RunKey(params.dataset, "kd", "resnet18", 0))))
    assert setup.distiller.teaching is setup.distiller.teacher


def test_gradients_can_be_accumulated(taught, capsys):
    change(taught, runtime={"max_batch_per_device": 2})
    rows = student(taught, "kd")["history.csv"].decode().splitlines()
    assert len(rows) == 4
    assert "note:" not in capsys.readouterr().out


@pytest.mark.parametrize(("method", "loss"), [("sp", "none"), ("none", "dice")])
def test_a_loss_that_parts_of_a_batch_change_is_named_before_training(taught, capsys, method, loss):
    change(taught, runtime={"max_batch_per_device": 2}, train={"auxiliary_loss": loss, "epochs": 1})
    student(taught, method)
    line = (
        f"note: {method} · resnet18 · seed 0: its loss depends on which images are in a forward pass together"
    )
    assert capsys.readouterr().out.startswith(line)


def test_a_batch_that_cannot_be_divided_is_named(taught):
    change(taught, train={"batch": 50})
    with pytest.raises(UserError, match=r"train\.batch is 50, but there are only 12 training images"):
        student(taught)


def test_a_teachers_batch_is_called_by_its_own_name(project):
    change(project, teacher={"batch": 13})
    with pytest.raises(UserError, match=r"teacher\.batch is 13"):
        train_teacher(project)


def test_one_image_with_one_position_is_told_with_the_parameters(project):
    change(project, teacher={"batch": 1}, images={"crop": [16, 16]})
    with pytest.raises(UserError, match=r"teacher\.batch: a forward pass has one image, and images\.crop"):
        train_teacher(project)


def test_what_cannot_be_written_is_found_before_the_first_epoch(project, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("the training began"))
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\)"):
        train_teacher(project)


def test_a_student_needs_its_teacher(project):
    with pytest.raises(UserError, match="there is no teacher yet"):
        student(project)


@pytest.mark.parametrize(("method", "name"), [("aiscd", "resnet18"), ("kd", "resnet81")])
def test_unknown_names_are_answered_with_known_ones(project, method, name):
    with pytest.raises(UserError, match="did you mean"):
        train_student(project, method=method, student=name, seed=0)


def test_a_student_that_diverges_says_so_and_leaves_a_gap_that_stops_nobody(taught, capsys):
    change(taught, train={"lr": 1e30})
    files = student(taught, "none")
    assert "warning: none · resnet18 · seed 0 diverged in epoch 1: loss" in capsys.readouterr().out
    described = json.loads(files["train.json"])
    assert "is not finite; lower train.lr" in described["diverged"]
    assert described["selected_epoch"] is None
    assert files["history.csv"] == b"epoch\n"
    assert json.loads((taught / "costs/shapes/none/resnet18-0.json").read_text())["seconds_training"] > 0
    evaluate_students(taught, method="none")
    record = json.loads((taught / "results/shapes/none/resnet18-0/diverged.json").read_text())
    assert record["loss"] == described["diverged"]


def test_a_teacher_that_diverges_ends_its_stage(project):
    change(project, teacher={"lr": 1e30})
    with pytest.raises(FloatingPointError, match=r"not finite; lower teacher\.lr, or set teacher\.clip_norm"):
        train_teacher(project)
    assert not (project / "runs/shapes/teacher").exists()


@pytest.mark.parametrize("method", ["none", "aicsd"])
def test_the_similarity_matrix_is_measured_from_before_the_first_epoch(taught, method):
    files = student(taught, method)
    folder = taught / f"runs/shapes/{method}/resnet18-0"
    with np.load(folder / "similarity.npz") as arrays:
        assert list(arrays["epochs"]) == [0, 1, 2, 3]
        assert arrays["student"].shape == (4, 9, 9)
        assert arrays["teacher"].shape == (9, 9)
        assert len(arrays["ids"]) == 4  # of the eight asked for: there are no more validation images
        distances = arrays["distance"]
    rows = list(csv.DictReader(files["history.csv"].decode().splitlines()))
    assert [float(row["similarity/distance"]) for row in rows] == pytest.approx(list(distances[1:]))


def test_measuring_the_similarity_changes_no_weight(taught, whole):
    change(taught, monitor={"similarity_every": 0})
    plain = student(taught)
    assert "similarity.npz" not in plain
    assert "similarity/distance" not in columns(plain)
    assert plain["student.safetensors"] == whole["student.safetensors"]


def test_the_similarity_is_measured_every_few_epochs_and_after_the_last(taught):
    change(taught, monitor={"similarity_every": 2, "similarity_images": 2})
    student(taught, "kd")
    with np.load(taught / "runs/shapes/kd/resnet18-0/similarity.npz") as arrays:
        assert list(arrays["epochs"]) == [0, 2, 3]
        assert len(arrays["ids"]) == 2


def columns(files):
    return files["history.csv"].decode().splitlines()[0].split(",")


def test_comparing_the_gradients_of_the_terms_adds_columns_and_changes_no_weight(taught, whole):
    assert [name for name in columns(whole) if name.startswith("health/")] == [
        *("health/share/ce", "health/share/icsd", "health/share/kd"),
        *("health/cosine/icsd", "health/cosine/kd"),
    ]
    change(taught, monitor={"health_steps": 0})
    plain = student(taught)
    assert plain["student.safetensors"] == whole["student.safetensors"]
    assert columns(plain) == [name for name in columns(whole) if not name.startswith("health/")]


@pytest.mark.parametrize("loss", ["dice", "lovasz"])
def test_losses_of_labels_train_teacher_and_students_and_are_followed(project, loss):
    options = {"class_weights": "median", "auxiliary_loss": loss, "auxiliary_weight": 0.5}
    change(project, teacher=options, train=options)
    train_teacher(project)
    (teacher,) = (project / "runs/shapes/teacher").rglob("history.csv")
    assert f"loss/{loss}" in teacher.read_text().splitlines()[0].split(",")
    rows = list(csv.DictReader(student(project)["history.csv"].decode().splitlines()))
    for row in rows:
        assert 0 < float(row[f"loss/{loss}"]) < 1
        assert float(row[f"weight/{loss}"]) == 0.5 * float(row["weight/ce"])
        assert 0 <= float(row[f"health/share/{loss}"]) < 1


def test_class_weights_come_from_the_labels_that_a_network_learns_from(taught):
    """Of four images of twelve: a student knows nothing of the others' labels."""
    change(taught, train={"class_weights": "inverse_log", "subset": 4})
    run = start_run(taught, student_job(checked_params(taught), RunKey("shapes", "none", "resnet18", 0)))
    weights = set_up(run).distiller.class_weights
    images = train_images(run.data, run.job)
    assert len(images) == 4
    labels = np.concatenate([images[index][1].reshape(-1) for index in range(4)])
    counts = np.bincount(labels, minlength=256)[:9]
    assert weights.tolist() == pytest.approx((1 / np.log(1.02 + counts / counts.sum())).tolist())
    change(taught, train={"subset": "all"})
    run = start_run(taught, student_job(checked_params(taught), RunKey("shapes", "none", "resnet18", 0)))
    assert not torch.equal(weights, set_up(run).distiller.class_weights)


def test_a_machine_with_slurm_trains_without_a_word_about_it(taught, tmp_path, monkeypatch):
    launcher = tmp_path / "srun"
    launcher.write_text("#!/bin/sh\n", encoding="utf-8")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    start_run(taught, student_job(checked_params(taught), RunKey("shapes", "none", "resnet18", 0)))


def test_no_student_depends_on_labels_that_it_is_not_to_see(taught, monkeypatch):
    """Half of the images, seen without labels: other labels there give the same network to the last bit."""
    change(taught, train={"subset": 4, "unlabelled": "all"})

    def trained(method):
        train_student(taught, method=method, student="resnet18", seed=0)
        return (taught / f"runs/shapes/{method}/resnet18-0/student.safetensors").read_bytes()

    first = {method: trained(method) for method in ("none", "kd")}
    described = json.loads((taught / "runs/shapes/kd/resnet18-0/train.json").read_text(encoding="utf-8"))
    assert (described["num_train_images"], described["num_unlabelled_images"]) == (4, 8)
    told = set(chosen_images(12, 4))
    honest = ShardedSplit.__getitem__

    def lying(self, index):
        image, label = honest(self, index)
        return image, label if index in told else (label + 1) % 9

    monkeypatch.setattr(ShardedSplit, "__getitem__", lying)
    shutil.rmtree(taught / ".state")
    assert {method: trained(method) for method in first} == first
    change(taught, train={"unlabelled": 0})
    assert trained("kd") != first["kd"]


def test_unlabelled_images_that_are_not_there_are_named(taught):
    change(taught, train={"subset": 12, "unlabelled": 3})
    with pytest.raises(
        UserError, match=r"train\.unlabelled: no image is left for it, since train\.subset is 12"
    ):
        train_student(taught, method="none", student="resnet18", seed=0)


def test_all_images_beyond_the_subset_may_be_none(taught):
    change(taught, train={"subset": 100, "unlabelled": "all"})
    train_student(taught, method="none", student="resnet18", seed=0)
    described = json.loads((taught / "runs/shapes/none/resnet18-0/train.json").read_text(encoding="utf-8"))
    assert (described["num_train_images"], described["num_unlabelled_images"]) == (12, 0)
