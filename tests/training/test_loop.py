import copy
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from icsd.training.distiller import Distiller
from icsd.training.loop import Progress, Schedule, fit
from icsd.training.monitor import NoMonitor
from icsd.training.optim import build_optimizer


class Net(nn.Module):
    """A network with dropout, whose random numbers must not depend on where a run was interrupted."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Conv2d(3, 8, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Conv2d(8, 5, 1)

    def forward(self, images):
        return {"logits": self.head(self.dropout(self.backbone(images)))}


class Columns(NoMonitor):
    """A monitor that adds its own columns."""

    def __init__(self):
        self.seen = []

    def before_backward(self, fabric, step, terms, weights):
        self.seen.append(step)

    def after_steps(self, fabric):
        return {"steps": float(len(self.seen))}

    def after_epoch(self, finished):
        self.seen.append(f"epoch {finished}")
        return {"finished": float(finished)}


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(4):
        yield (
            torch.randn(2, 3, 8, 8, generator=generator),
            torch.randint(0, 5, (2, 8, 8), generator=generator),
        )


class Run:
    """Training of a student alone: ``epochs`` epochs of two steps of two micro-batches."""

    def __init__(self, *, epochs=3, **changes):
        self.student = Net()
        self.distiller = Distiller(self.student, teacher=None, method=None)
        self.optimizer = build_optimizer(
            self.student,
            None,
            name="sgd",
            lr=0.1,
            head_lr_factor=1.0,
            momentum=0.9,
            nesterov=False,
            weight_decay=0.0,
        )
        self.fabric = Fabric(accelerator="cpu", devices=1)
        self.module, self.wrapped_optimizer = self.fabric.setup(self.distiller, self.optimizer)
        schedule = Schedule(
            epochs=epochs,
            steps=2,
            micro_batches=2,
            lr=0.1,
            poly_power=0.9,
            warmup=0.0,
            clip_norm=0.0,
            validate_every=1,
            select="last",
            seed=0,
        )
        self.schedule = replace(schedule, **changes)

    def fit(self, progress=None, *, scores=None, monitor=None, weight=1.0, on_epoch=lambda progress: None):
        progress = progress or Progress()
        remaining = iter(scores or ())
        fit(
            self.fabric,
            self.module,
            self.wrapped_optimizer,
            progress,
            student=self.student,
            schedule=self.schedule,
            batches=batches,
            weights=lambda epoch: {"ce": weight},
            validate=(lambda: {"miou": next(remaining)}) if scores else None,
            monitor=monitor or NoMonitor(),
            on_epoch=on_epoch,
        )
        return progress


class Killed(Exception):
    """Simulates that the process is killed."""


def test_a_row_holds_rate_losses_weights_and_scores():
    rows = Run().fit(scores=[0.1, 0.2, 0.3], weight=0.5).history
    assert [list(row) for row in rows] == [
        ["epoch", "lr", "loss/total", "loss/ce", "weight/ce", "val/miou"]
    ] * 3
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["loss/total"] == pytest.approx(0.5 * row["loss/ce"]) for row in rows)
    assert rows[0]["lr"] > rows[1]["lr"] > rows[2]["lr"] > 0


def test_validation_follows_every_few_epochs_and_the_last():
    rows = Run(epochs=5, validate_every=2).fit(scores=[0.1, 0.2, 0.3]).history
    assert [row.get("val/miou") for row in rows] == [None, 0.1, None, 0.2, 0.3]


def test_the_best_validated_weights_are_kept_and_the_first_of_equals_wins():
    run, states = Run(epochs=4, select="best_val"), []
    progress = run.fit(
        scores=[0.1, 0.3, 0.3, 0.2],
        on_epoch=lambda progress: states.append(copy.deepcopy(run.student.state_dict())),
    )
    assert progress.best_epoch == 2
    assert all(torch.equal(progress.best_weights[name], value) for name, value in states[1].items())


def test_no_weights_are_kept_where_the_last_are_the_result():
    assert Run().fit(scores=[0.3, 0.2, 0.1]).best_weights is None


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_training_is_bit_identical_to_an_uninterrupted_one(epoch):
    whole = Run()
    expected = whole.fit()
    first, saved = Run(), {}

    def save_and_die(progress):
        if progress.epoch == epoch:
            parts = first.distiller.state_dict(), first.optimizer.state_dict(), progress
            saved["state"] = copy.deepcopy(parts)
            raise Killed

    with pytest.raises(Killed):
        first.fit(on_epoch=save_and_die)
    second = Run()
    distiller, optimizer, progress = saved["state"]
    second.distiller.load_state_dict(distiller)
    second.optimizer.load_state_dict(optimizer)
    torch.manual_seed(123)
    assert second.fit(progress).history == expected.history
    after = second.student.state_dict()
    assert all(torch.equal(after[name], value) for name, value in whole.student.state_dict().items())


def test_a_loss_that_is_not_finite_ends_training_after_the_last_good_epoch():
    run, progress = Run(), Progress()

    def spoil(progress):
        if progress.epoch == 2:
            with torch.no_grad():
                nn.init.constant_(run.student.head.weight, float("nan"))

    with pytest.raises(FloatingPointError, match="epoch 3: loss total, ce is not finite"):
        run.fit(progress, on_epoch=spoil)
    assert progress.epoch == len(progress.history) == 2
    assert progress.seconds > 0


def test_a_monitor_sees_each_first_micro_batch_and_each_epoch_and_adds_columns():
    monitor = Columns()
    rows = Run(epochs=2).fit(scores=[0.1, 0.2], monitor=monitor).history
    assert monitor.seen == ["epoch 0", 0, 1, "epoch 1", 0, 1, "epoch 2"]
    assert [list(row)[-3:] for row in rows] == [["steps", "val/miou", "finished"]] * 2


def test_a_resumed_training_is_not_measured_before_its_first_epoch():
    monitor = Columns()
    Run(epochs=2).fit(Progress(epoch=1, history=[{"epoch": 1.0}]), monitor=monitor)
    assert monitor.seen == [0, 1, "epoch 2"]
