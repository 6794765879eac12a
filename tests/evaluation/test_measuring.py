"""A network on a split, against values that can be worked out by hand."""

import pytest
import torch
from torch import nn

from icsd.core.labels import IGNORE
from icsd.core.similarity import ics_matrix
from icsd.evaluation.measuring import Teacher, evaluate, evenly_spread

CPU = torch.device("cpu")


class Fixed(nn.Module):
    """Gives the same logits [1, C, h, w] for every image."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, image):
        return {"logits": self.logits}


def one_hot(classes, *, scale=10.0):
    """Logits [1, 3, h, w] whose argmax is ``classes``."""
    return scale * nn.functional.one_hot(torch.tensor(classes), 3).permute(2, 0, 1)[None].float()


def measure(network, labels, *, keep=frozenset(), teacher=None):
    if isinstance(teacher, nn.Module):
        teacher = Teacher(teacher)
    images = [
        (index, torch.zeros(1, 3, 2, 2), torch.tensor(label)[None]) for index, label in enumerate(labels)
    ]
    return evaluate(
        network, images, num_classes=3, temperature=1.0, device=CPU, keep=frozenset(keep), teacher=teacher
    )


LABELS = [[[0, 1], [2, IGNORE]], [[1, 1], [2, 2]]]
NETWORK = Fixed(one_hot([[0, 1], [1, 1]]))


def test_every_image_has_its_confusion_and_ignored_pixels_count_nowhere():
    confusion = measure(NETWORK, LABELS).confusion
    assert confusion.tolist() == [
        [[1, 0, 0], [0, 1, 0], [0, 1, 0]],
        [[0, 0, 0], [1, 1, 0], [0, 2, 0]],
    ]


def test_labels_keep_their_own_size():
    label = [[0, 0, 1, 1]] * 4
    assert measure(NETWORK, [label]).confusion.sum() == 16


def test_a_network_agrees_with_itself_completely():
    agreement = measure(NETWORK, LABELS, teacher=NETWORK).agreement
    assert (agreement.pixels, agreement.kl, agreement.ics_distance) == (1.0, 0.0, 0.0)


class Counted(nn.Module):
    """A teacher whose logits differ from call to call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, image):
        self.calls += 1
        return {"logits": torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(self.calls))}


@pytest.mark.parametrize(("limit_bytes", "calls"), [(96, 2), (48, 3), (95, 3), (47, 4), (0, 4)])
def test_a_teachers_logits_are_computed_once_for_all_networks_while_they_fit(limit_bytes, calls):
    """Two images, 48 bytes each, and two networks."""
    network = Counted()
    teacher = Teacher(network, limit_bytes)
    first = measure(NETWORK, LABELS, teacher=teacher)
    again = measure(NETWORK, LABELS, teacher=teacher)
    assert network.calls == calls
    if calls == 2:
        assert again.agreement == first.agreement
        assert (again.teacher_ics == first.teacher_ics).all()


def test_agreement_is_over_labelled_pixels():
    teacher = Fixed(one_hot([[0, 1], [2, 0]]))  # other classes at the bottom; the right one is ignored once
    assert measure(NETWORK, LABELS[:1], teacher=teacher).agreement.pixels == pytest.approx(2 / 3)
    both = measure(NETWORK, LABELS, teacher=teacher).agreement.pixels
    assert both == pytest.approx(4 / 7)  # of 3 + 4 labelled pixels


def test_kl_is_that_of_the_teacher_against_the_student():
    student, teacher = one_hot([[0, 0], [0, 0]], scale=1.0), one_hot([[1, 1], [1, 1]], scale=2.0)
    p, q = teacher[0, :, 0, 0].softmax(0), student[0, :, 0, 0].softmax(0)
    agreement = measure(Fixed(student), LABELS, teacher=Fixed(teacher)).agreement
    assert agreement.kl == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-6)


def test_matrices_are_means_over_images_that_have_labels():
    generator = torch.Generator().manual_seed(0)
    logits, other = (torch.randn(1, 3, 2, 2, generator=generator) for _ in range(2))
    empty = [[IGNORE, IGNORE], [IGNORE, IGNORE]]
    evaluated = measure(Fixed(logits), [LABELS[1], empty], teacher=Fixed(other))
    own, theirs = (ics_matrix(each)[0].double() for each in (logits, other))
    assert torch.equal(torch.from_numpy(evaluated.student_ics), own)
    assert torch.equal(torch.from_numpy(evaluated.teacher_ics), theirs)
    assert evaluated.agreement.ics_distance == pytest.approx(float((own - theirs).square().mean()))


def test_without_a_teacher_there_is_nothing_to_agree_with():
    evaluated = measure(NETWORK, LABELS)
    assert evaluated.teacher_ics is None
    assert evaluated.agreement is None


def test_predictions_are_kept_where_they_are_wanted():
    predictions = measure(NETWORK, LABELS, keep={1}).predictions
    assert {index: kept.tolist() for index, kept in predictions.items()} == {1: [[0, 1], [1, 1]]}


def test_a_split_without_any_label_is_an_error():
    with pytest.raises(ValueError, match="no labelled pixel"):
        measure(NETWORK, [[[IGNORE, IGNORE], [IGNORE, IGNORE]]])


@pytest.mark.parametrize(
    ("count", "num_images", "indices"),
    [(1, 9, [4]), (2, 10, [2, 7]), (4, 3, [0, 1, 2]), (0, 5, []), (3, 0, [])],
)
def test_pictured_images_are_spread_evenly(count, num_images, indices):
    assert evenly_spread(count, num_images) == indices
