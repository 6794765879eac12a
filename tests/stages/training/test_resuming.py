"""The checkpoints from which a run may resume."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch
from tests.project import entered
from torch.optim import AdamW

from icsd.stages.training.job import teacher_job
from icsd.stages.training.process import start_run
from icsd.stages.training.resuming import _fits, restore, state_of
from icsd.stages.training.setup import set_up
from icsd.stages.validate import checked_params
from icsd.training.checkpoint import remove_states, save_state
from icsd.training.loop import Progress
from icsd.training.monitor import NoMonitor


@pytest.fixture(scope="module")
def at_start(prepared_once, tmp_path_factory):
    """The teacher's run in a tiny project, and its setup before the first step."""
    folder = tmp_path_factory.mktemp("resuming") / "project"
    shutil.copytree(prepared_once, folder)
    with entered(folder):
        run = start_run(folder, teacher_job(checked_params(folder)))
    return run, set_up(run)


@pytest.fixture
def run(at_start):
    remove_states(at_start[0].checkpoint)
    return at_start[0]


@pytest.fixture
def setup(at_start):
    return at_start[1]


@pytest.fixture
def state(run, setup):
    """A checkpoint as after the first epoch."""
    for parameter in setup.student.parameters():
        parameter.grad = torch.ones_like(parameter)
    setup.optimizer.step()
    progress = Progress(epoch=1, history=[{"epoch": 1, "lr": 0.1}], seconds=1.0)
    return copy.deepcopy(state_of(run, setup, progress, NoMonitor()))


def test_a_run_goes_on_from_its_state(run, setup, state, capsys):
    save_state(state, run.checkpoint)
    progress = restore(run, setup, NoMonitor())
    assert (progress.epoch, progress.resumed) == (1, 1)
    assert capsys.readouterr().out == "resuming after epoch 1\n"


def test_the_averages_of_adamw_are_believed_by_shape(setup):
    adamw = AdamW(setup.student.parameters())
    for parameter in setup.student.parameters():
        parameter.grad = torch.ones_like(parameter)
    adamw.step()
    other = replace(setup, optimizer=adamw)
    saved, fresh = copy.deepcopy(adamw.state_dict()), adamw.state_dict()
    assert _fits(saved, fresh, other)
    assert not _fits(saved, setup.optimizer.state_dict(), setup)
    saved["state"][0]["exp_avg"] = torch.zeros(1)
    assert not _fits(saved, fresh, other)


def changed(state, *path, value):
    """A copy of the state with one value replaced; without it for ``None``."""
    inner = copied = copy.deepcopy(state)
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copied


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("run",), "shapes-teacher-0", "belongs to another run"),
        (("run",), None, "does not have the parts"),
        (("distiller", "student.classifier.bias"), torch.zeros(3), "other networks"),
        (("distiller", "student.classifier.bias"), None, "other networks"),
        (("distiller",), [], "other networks"),
        (("optimizer",), {}, "optimiser of another run"),
        (("optimizer", "param_groups", 0, "params"), [0], "optimiser of another run"),
        (("optimizer", "state", 0, "momentum_buffer"), torch.zeros(1), "optimiser of another run"),
        (("optimizer", "state", 0), None, "resuming after epoch 1"),  # a parameter that had no gradient
        (("monitor",), {"epochs": [0]}, "monitor"),
        (("monitor",), 5, "monitor"),
        (("progress",), 5, "does not say how far"),
        (("progress", "epoch"), 2, "says epoch 2 of 2"),
        (("progress", "epoch"), "1", "does not say how far"),
        (("progress", "history"), [{"epoch": 1}, {"epoch": 3}], "says epoch 1 of 2"),
        (("progress", "history"), [{}], "does not say how far"),
        (("progress", "best_weights"), {"a": torch.zeros(1)}, "best weights of another network"),
        (("progress", "later"), 5, "does not say how far"),
    ],
)
def test_a_state_that_is_not_this_runs_changes_nothing(run, setup, state, capsys, path, value, said):
    save_state(changed(state, *path, value=value), run.checkpoint)
    before = copy.deepcopy(state_of(run, setup, Progress(), NoMonitor()))
    with torch.no_grad():
        setup.student.classifier.bias.add_(1)
    now = setup.student.classifier.bias.clone()
    progress = restore(run, setup, NoMonitor())
    out = capsys.readouterr().out
    assert said in out
    assert out.count("\n") == 1
    if progress.epoch == 0:
        assert out.endswith("; training from the beginning\n")
        assert torch.equal(setup.student.classifier.bias, now)
    else:
        assert torch.equal(setup.student.classifier.bias, before["distiller"]["student.classifier.bias"])


def test_a_damaged_state_gives_way_to_the_one_before_and_a_line_says_so(run, setup, state, capsys):
    later = Progress(epoch=2, history=[{"epoch": 1}, {"epoch": 2}])
    for saved in (state, state | {"progress": vars(later)}):
        save_state(saved, run.checkpoint)
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:-1])
    assert restore(run, setup, NoMonitor()).epoch == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "checkpoint.pt is damaged: its content does not have its digest; resuming after epoch 1" in out
