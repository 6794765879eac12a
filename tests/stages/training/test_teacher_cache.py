import json
import shutil
from dataclasses import replace

import pytest
from tests.project import change, entered, outputs

from icsd.params import Params, merge
from icsd.runs import RunKey
from icsd.stages.training import run as training
from icsd.stages.training import teacher_cache
from icsd.stages.training.job import identity_of, student_job
from icsd.stages.training.process import start_run
from icsd.stages.training.run import train_student
from icsd.stages.training.setup import set_up
from icsd.stages.training.teacher_cache import keys_of, teaching
from icsd.stages.validate import checked_params
from icsd.training.checkpoint import save_state
from icsd.training.distiller import Distiller


class Killed(BaseException):
    """Simulates that the process is killed at the point where it is raised."""


@pytest.fixture
def runs(monkeypatch):
    """How often the teacher ran."""
    counted = []
    teach = Distiller.teach

    def counting(self, images):
        counted.append(len(images))
        return teach(self, images)

    monkeypatch.setattr(Distiller, "teach", counting)
    return counted


def student(project, method="aicsd", seed=0):
    shutil.rmtree(project / f"runs/shapes/{method}", ignore_errors=True)
    train_student(project, method=method, student="resnet18", seed=seed)
    return outputs(project / f"runs/shapes/{method}/resnet18-{seed}")


def cost(project, method="aicsd"):
    return json.loads((project / f"costs/shapes/{method}/resnet18-0.json").read_text())


def forget_states(project):
    shutil.rmtree(project / ".state/runs", ignore_errors=True)


def files(project):
    return sorted(path.name for path in project.glob(".state/teacher_logits/*/*"))


@pytest.fixture(scope="module")
def live(taught_once, tmp_path_factory):
    """The students of a teacher that runs in every epoch."""
    folder = tmp_path_factory.mktemp("live") / "project"
    shutil.copytree(taught_once, folder)
    with entered(folder):
        change(folder, runtime={"teacher_cache": "off"})
        made = {method: student(folder, method) for method in ("kd", "aicsd")}
        assert files(folder) == []
        return made


def test_students_are_the_same_to_the_last_bit_whether_they_write_read_or_do_neither(
    taught, live, runs, capsys
):
    assert student(taught, "aicsd") == live["aicsd"]
    assert files(taught) == [f"epoch-{epoch:05d}.logits" for epoch in (1, 2, 3)]
    assert cost(taught)["cached_epochs"] == 0
    assert cost(taught)["seconds_saved"] < 0
    assert cost(taught)["processor_saved"] < 0
    runs.clear()
    capsys.readouterr()
    assert student(taught, "kd") == live["kd"]
    assert "of 3 of 3 epochs are read from .state/teacher_logits/" in capsys.readouterr().out
    assert runs == [4]  # a batch is compared; nine would have run
    assert cost(taught, "kd")["cached_epochs"] == 3
    forget_states(taught)
    assert student(taught, "aicsd") == live["aicsd"]


def test_a_run_that_was_resumed_reads_and_writes_as_one_that_was_not(taught, live, runs, monkeypatch):
    epoch = 2

    def save_and_die(state, path):
        save_state(state, path)
        if state["progress"]["epoch"] == epoch:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_state", save_and_die)
        with pytest.raises(Killed):
            student(taught)
    assert len(files(taught)) == epoch
    assert student(taught) == live["aicsd"]
    assert len(files(taught)) == 3
    runs.clear()
    with monkeypatch.context() as patch:
        patch.setattr(training, "save_state", save_and_die)
        with pytest.raises(Killed):
            student(taught, "kd")
    assert student(taught, "kd") == live["kd"]
    assert cost(taught, "kd")["cached_epochs"] == 3
    assert runs == [4, 4]


def test_a_run_that_dies_in_the_middle_of_an_epoch_leaves_no_half_of_it(taught, live, monkeypatch):
    teach, count = Distiller.teach, iter(range(100))

    def dying(self, images):
        if next(count) == 4:
            raise Killed
        return teach(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Distiller, "teach", dying)
        with pytest.raises(Killed):
            student(taught)
    assert files(taught) == ["epoch-00001.logits"]
    assert student(taught) == live["aicsd"]
    assert student(taught, "kd") == live["kd"]


@pytest.mark.parametrize(
    "runtime",
    [{"max_batch_per_device": 2}, {"precision": "bf16-mixed", "channels_last": True}, {"mode": "fast"}],
    ids=str,
)
def test_it_is_the_same_to_the_last_bit_in_pieces_and_in_other_precision_and_layout(taught, runtime):
    change(taught, runtime={**runtime, "teacher_cache": "off"})
    wanted = student(taught, "kd")
    forget_states(taught)
    change(taught, runtime={"teacher_cache": "auto"})
    assert student(taught, "kd") == wanted
    forget_states(taught)
    assert student(taught, "kd") == wanted
    assert cost(taught, "kd")["cached_epochs"] == 3


def test_damage_costs_time_and_nothing_else(taught, live, capsys):
    student(taught)
    for path in taught.glob(".state/teacher_logits/*/*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert student(taught, "kd") == live["kd"]
    assert capsys.readouterr().out.count("is damaged") == 3


def test_methods_that_read_features_run_the_teacher_and_write_nothing(taught, capsys):
    change(taught, grid={"baselines": ["none", "at", "fitnet"]}, runtime={"teacher_cache": "float32"})
    student(taught, "at")
    assert files(taught) == []
    assert "the teacher's logits are not kept: at reads decoder of the teacher" in capsys.readouterr().out


def test_a_compiled_teacher_is_no_part_of_it(taught, capsys):
    change(taught, runtime={"compile": True, "teacher_cache": "float32"})
    run = run_of(taught)
    setup = set_up(run)
    assert teaching(run, setup).logits is None
    printed = capsys.readouterr().out
    assert "runtime.compile" in printed
    assert "a minute or more" in printed


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({"grid": {"baselines": ["none"]}}, 0),
        ({"grid": {"baselines": ["none", "at"]}}, 0),
        ({"grid": {"baselines": ["none"]}, "runtime": {"teacher_cache": "float32"}}, 1),
        ({"grid": {"baselines": ["none", "cwd"]}}, 1),
        ({"runtime": {"teacher_cache_gb": 0.0}}, 0),
        ({"grid": {"baselines": ["none"], "seeds": [1]}, "tuning": {"seed": 0, "trials": 3}}, 1),
    ],
    ids=["one run", "the other reads features", "asked for", "two", "no space", "trials"],
)
def test_files_are_written_where_another_run_of_the_seed_reads_them(taught, changes, written):
    change(taught, **changes)
    run = run_of(taught)
    assert len(list(teaching(run, set_up(run)).epoch(0))) == 3
    assert len(files(taught)) == written


def test_no_more_is_kept_than_there_is_room_for(taught, live, capsys):
    student(taught)
    [folder] = taught.glob(".state/teacher_logits/*")
    one = folder.joinpath("epoch-00001.logits").stat().st_size
    shutil.rmtree(taught / ".state")
    change(taught, runtime={"teacher_cache_gb": 2.5 * one / 1e9})
    capsys.readouterr()
    assert student(taught) == live["aicsd"]
    assert files(taught) == ["epoch-00001.logits", "epoch-00002.logits"]
    assert "are not kept from epoch 3 on" in capsys.readouterr().out
    assert student(taught, "kd") == live["kd"]
    assert cost(taught, "kd")["cached_epochs"] == 2


def test_rounded_logits_give_the_same_student_from_files_and_without(taught, live):
    change(taught, runtime={"teacher_cache": "float16"})
    rounded = student(taught)
    assert rounded["student.safetensors"] != live["aicsd"]["student.safetensors"]
    forget_states(taught)
    assert student(taught) == rounded
    assert cost(taught)["cached_epochs"] == 3
    shutil.rmtree(taught / ".state")
    change(taught, runtime={"teacher_cache_gb": 0.0})
    assert student(taught) == rounded
    assert files(taught) == []


def run_of(project, method="aicsd", seed=0):
    params = checked_params(project)
    return start_run(project, student_job(params, RunKey(params.dataset, method, "resnet18", seed)))


@pytest.fixture(scope="module")
def started(taught_once):
    """A student's run before its first step, in a project that must stay unchanged."""
    with entered(taught_once):
        yield run_of(taught_once)


def changed(run, changes):
    """The run with other parameters."""
    tree = merge(run.job.params.model_dump(), changes)
    return replace(run, job=student_job(Params.model_validate(tree), run.job.key))


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"flip": 0.0}},
        {"images": {"crop": [16, 16]}},
        {"images": {"scale": [1.0, 1.0]}},
        {"images": {"input_scale": 0.5}},
        {"images": {"blur": 0.5}},
        {"images": {"colour": 0.1}},
        {"train": {"batch": 6}},
        {"train": {"subset": 8}},
        {"runtime": {"threads": 2}},
        {"runtime": {"channels_last": True}},
        {"runtime": {"fold_teacher": True}},
        {"runtime": {"precision": "bf16-mixed"}},
        {"runtime": {"max_batch_per_device": 2}},
        {"runtime": {"teacher_cache": "float16"}},
    ],
    ids=str,
)
def test_what_changes_the_teachers_logits_changes_the_key(started, changes):
    assert keys_of(changed(started, changes))[0] != keys_of(started)[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"lr": 0.01, "epochs": 5}},
        {"methods": {"aicsd": {"weights": {"icsd": 1.0}}}},
        {"grid": {"seeds": [3, 4]}},
        {"runtime": {"fused_optimizer": True}},
        {"runtime": {"workers": 2, "teacher_cache_gb": 1.0, "teacher_cache": "float32"}},
        {"networks": {"students": {"resnet18": {"width": 0.25}}}},
    ],
    ids=str,
)
def test_what_does_not_leaves_the_key(started, changes):
    assert keys_of(changed(started, changes))[0] == keys_of(started)[0]


def test_teacher_data_code_and_machine_are_in_the_key(started, monkeypatch):
    keys = [keys_of(started)]
    for name in ("data", "teacher"):
        other = started.provenance.model_copy(update={name: "0" * 64})
        keys.append(keys_of(replace(started, provenance=other)))
    for name in ("code_of_training", "processor", "device_name", "digests_of_network"):
        with monkeypatch.context() as patch:
            patch.setattr(teacher_cache, name, lambda *_: "another")
            keys.append(keys_of(started))
    assert len({each[0] for each in keys}) == len(keys)
    assert len(set(keys[0].values())) == len(keys[0])  # a key for each seed


def test_only_rounding_starts_an_interrupted_run_anew(started):
    def identity(**runtime):
        run = changed(started, {"runtime": runtime})
        return identity_of(run.job, run.provenance)

    assert (
        identity(teacher_cache="off", teacher_cache_gb=1.0) == identity() == identity(teacher_cache="float32")
    )
    assert identity(teacher_cache="float16") != identity()
