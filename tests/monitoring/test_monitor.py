import copy

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from icsd.methods.aicsd import AICSD
from icsd.monitoring.monitor import StudentMonitor
from icsd.monitoring.probe import SimilarityProbe
from icsd.training.distiller import Distiller
from icsd.training.loop import Progress, Schedule, fit
from icsd.training.monitor import NoMonitor
from icsd.training.optim import build_optimizer


class Net(nn.Module):
    """A network with batch norm and dropout, whose state a second forward pass would change."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, 5, 1))

    def forward(self, images):
        return {"logits": self.head(self.backbone(images))}


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(8):
        yield (
            torch.randn(2, 3, 8, 8, generator=generator),
            torch.randint(0, 5, (2, 8, 8), generator=generator),
        )


def probe():
    generator = torch.Generator().manual_seed(0)
    images = [
        (
            index,
            torch.randn(1, 3, 8, 8, generator=generator),
            torch.randint(0, 5, (1, 8, 8), generator=generator),
        )
        for index in range(2)
    ]
    return SimilarityProbe(images, ids=["a", "b"], teacher=Net(1).eval(), device=torch.device("cpu"))


def trained(monitor_of, *, method=True, precision="32-true", clip_norm=0.0):
    """Two epochs of four steps of two micro-batches: states of Distiller and optimiser, and the history."""
    distiller = Distiller(Net(0), teacher=Net(1) if method else None, method=AICSD() if method else None)
    optimizer = build_optimizer(
        distiller.student,
        distiller.method,
        name="sgd",
        lr=0.1,
        head_lr_factor=1.0,
        momentum=0.9,
        nesterov=False,
        weight_decay=0.0,
    )
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    module, wrapped = fabric.setup(distiller, optimizer)
    schedule = Schedule(
        epochs=2,
        steps=4,
        micro_batches=2,
        lr=0.1,
        poly_power=0.9,
        warmup=0.0,
        clip_norm=clip_norm,
        validate_every=1,
        select="last",
        seed=0,
    )
    progress = fit(
        fabric,
        module,
        wrapped,
        Progress(),
        student=distiller.student,
        schedule=schedule,
        batches=batches,
        weights=lambda epoch: {"ce": 1.0, "icsd": 0.1, "kd": float(epoch)},
        validate=None,
        monitor=monitor_of(distiller.student),
        on_epoch=lambda progress: None,
    )
    return copy.deepcopy(distiller.state_dict()), optimizer.state_dict()["state"], progress.history


def monitored(health_steps, **options):
    def monitor_of(student):
        return StudentMonitor(student, epochs=2, steps=4, health_steps=health_steps, **options)

    return monitor_of


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16-mixed"}, {"clip_norm": 0.5}])
def test_measuring_changes_no_bit_of_training(changes):
    plain = trained(lambda student: NoMonitor(), **changes)
    measured = trained(monitored(3, probe=probe()), **changes)
    assert all(torch.equal(plain[0][name], measured[0][name]) for name in plain[0])
    assert all(
        torch.equal(plain[1][index]["momentum_buffer"], measured[1][index]["momentum_buffer"])
        for index in plain[1]
    )
    for without, row in zip(plain[2], measured[2], strict=True):
        assert without == {
            name: value for name, value in row.items() if not name.startswith(("health/", "similarity/"))
        }


def test_each_epoch_has_shares_of_all_terms_and_cosines_of_all_but_ce():
    first, second = trained(monitored(2))[2]
    names = [name for name in second if name.startswith("health/")]
    assert names == [
        *("health/share/ce", "health/share/icsd", "health/share/kd"),
        *("health/cosine/icsd", "health/cosine/kd"),
    ]
    assert sum(second[name] for name in names[:3]) == pytest.approx(1, abs=1e-12)
    assert all(-1 <= second[name] <= 1 for name in names[3:])
    assert first["health/share/kd"] == 0  # its weight is 0 in the first epoch
    assert second["health/share/kd"] > 0


def test_nothing_is_measured_without_steps_or_without_distillation():
    for history in (trained(monitored(0))[2], trained(monitored(3), method=False)[2]):
        assert not [name for row in history for name in row if name.startswith("health/")]


def watching(student, **options):
    return StudentMonitor(student, epochs=5, steps=4, probe=probe(), **options)


def test_the_similarity_is_due_before_training_every_few_epochs_and_after_the_last():
    monitor = watching(Net(0), similarity_every=2)
    assert [finished for finished in range(6) if monitor.after_epoch(finished)] == [0, 2, 4, 5]
    assert list(monitor.arrays()["epochs"]) == [0, 2, 4, 5]


def test_each_similarity_is_handed_over_and_kept():
    handed = []
    monitor = watching(Net(0), on_similarity=lambda *measured: handed.append(measured))
    row = monitor.after_epoch(0)
    arrays = monitor.arrays()
    [(finished, matrix, teacher, distance)] = handed
    assert finished == 0
    assert row == {"similarity/distance": distance}
    assert list(arrays["distance"]) == [distance]
    assert np.array_equal(arrays["student"][0], matrix.numpy())
    assert np.array_equal(arrays["teacher"], teacher.numpy())
    assert list(arrays["ids"]) == ["a", "b"]


def test_a_resumed_monitor_keeps_the_whole_history(tmp_path):
    student = Net(0)
    whole, first, second = (watching(student) for _ in range(3))
    for finished in range(4):
        whole.after_epoch(finished)
        (first if finished < 2 else second).after_epoch(finished)
        if finished == 1:
            torch.save(first.state_dict(), tmp_path / "state.pt")
            second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert all(np.array_equal(whole.arrays()[name], array) for name, array in second.arrays().items())


def test_without_a_probe_there_is_no_similarity():
    monitor = StudentMonitor(Net(0), epochs=5, steps=4)
    assert monitor.after_epoch(5) == {}
    assert monitor.arrays() == {}
