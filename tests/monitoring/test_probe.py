import numpy as np
import pytest
import torch
from torch import nn

from icsd.core.labels import IGNORE
from icsd.core.similarity import ics_matrix
from icsd.monitoring.probe import SimilarityProbe


class Network(nn.Module):
    """Logits [B, 3, 4, 4] from one convolution, with a layer that behaves differently in training."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, images):
        return {"logits": self.body(images)}


def images(count, *, ignored=()):
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        labels = torch.zeros(1, 4, 4, dtype=torch.int64)
        if index in ignored:
            labels[:] = IGNORE
        yield index, torch.randn(1, 3, 4, 4, generator=generator), labels


def probe_of(teacher, **changes):
    return SimilarityProbe(images(4, **changes), teacher=teacher.eval(), device=torch.device("cpu"))


def test_the_distance_is_the_mean_of_the_images_losses():
    teacher, student = Network(0), Network(1)
    matrix, distance = probe_of(teacher).measure(student)
    student.eval()
    pairs = [
        tuple(
            ics_matrix(network(image)["logits"])[0].detach().double().numpy()
            for network in (student, teacher)
        )
        for _, image, _ in images(4)
    ]
    assert distance == pytest.approx(
        np.mean([((ours - theirs) ** 2).mean() for ours, theirs in pairs]), rel=1e-5
    )
    assert matrix.numpy() == pytest.approx(np.mean([ours for ours, _ in pairs], axis=0), rel=1e-5)


def test_a_network_is_at_no_distance_from_itself():
    network = Network(0)
    probe = probe_of(network)
    matrix, distance = probe.measure(network)
    assert distance == 0
    assert torch.equal(matrix, probe.teacher_matrix)


def test_measuring_leaves_the_network_as_it_was():
    student = Network(1).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    probe_of(Network(0)).measure(student)
    assert student.training
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


def test_ignored_positions_and_images_without_any_label_are_left_out():
    student = Network(1)
    teacher = Network(0)
    fewer = SimilarityProbe(
        [each for each in images(4) if each[0] != 2], teacher=teacher.eval(), device=torch.device("cpu")
    )
    measured, expected = (probe.measure(student) for probe in (probe_of(teacher, ignored={2}), fewer))
    assert measured is not None
    assert expected is not None
    assert measured[1] == pytest.approx(expected[1])


def test_without_a_labelled_image_there_is_nothing_to_measure():
    probe = probe_of(Network(0), ignored=range(4))
    assert probe.teacher_matrix is None
    with pytest.raises(ValueError, match="no image has a labelled position"):
        probe.measure(Network(1))
