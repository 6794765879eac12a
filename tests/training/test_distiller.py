import pytest
import torch
from torch import nn

from icsd.core.labels import IGNORE
from icsd.core.logits import cross_entropy
from icsd.core.supervision import dice_loss
from icsd.methods.aicsd import AICSD
from icsd.methods.kd import KD
from icsd.training.distiller import Distiller


class Net(nn.Module):
    """A network with taps at stride 2, and dropout to tell training from evaluation."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return {"logits": self.dropout(self.backbone(images))}


def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 5, (2, 8, 8), generator=generator)
    labels[0, 0] = IGNORE
    return images, labels


def test_terms_are_those_of_the_method_and_ce():
    distiller = Distiller(Net(0), teacher=Net(1), method=AICSD())
    terms = distiller(*batch())
    assert tuple(terms) == distiller.terms == ("ce", "icsd", "kd")
    assert all(value.shape == () and value.dtype == torch.float32 for value in terms.values())


def test_alone_there_is_only_ce():
    assert tuple(Distiller(Net(0), teacher=None, method=None)(*batch())) == ("ce",)


def test_an_auxiliary_loss_is_a_term_of_its_own_beside_ce():
    images, labels = batch()
    plain = Distiller(Net(0).eval(), teacher=Net(1), method=AICSD()).eval()
    distiller = Distiller(plain.student, teacher=Net(1), method=AICSD(), auxiliary="dice").eval()
    terms = distiller(images, labels)
    assert tuple(terms) == distiller.terms == ("ce", "dice", "icsd", "kd")
    assert distiller.method_terms == ("icsd", "kd")
    assert terms["dice"] == dice_loss(plain.student(images)["logits"], labels)
    former = plain(images, labels)
    assert all(torch.equal(terms[name], former[name]) for name in former)


def test_class_weights_reach_ce_alone_and_are_not_saved():
    images, labels = batch()
    weights = torch.tensor([1.0, 5.0, 1.0, 0.2, 1.0])
    distiller = Distiller(Net(0), teacher=Net(1), method=KD(), class_weights=weights).eval()
    terms = distiller(images, labels)
    plain = Distiller(distiller.student, teacher=Net(1), method=KD()).eval()(images, labels)
    assert terms["ce"] == cross_entropy(distiller.student(images)["logits"], labels, weights)
    assert terms["ce"] != plain["ce"]
    assert terms["kd"] == plain["kd"]
    assert not any("class_weights" in name for name in distiller.state_dict())
    assert distiller.to(torch.float64).class_weights.dtype == torch.float64  # it moves with the student


def test_a_teacher_without_a_method_is_a_mistake():
    with pytest.raises(ValueError, match="come together"):
        Distiller(Net(0), teacher=Net(1), method=None)


def test_the_teacher_is_never_trained_switched_or_saved():
    teacher, student = Net(1), Net(0)
    distiller = Distiller(student, teacher=teacher, method=KD())
    distiller.train()
    assert not teacher.training
    assert distiller.teacher is teacher
    assert {name.split(".")[0] for name in distiller.state_dict()} == {"student"}
    distiller(*batch())["kd"].backward()
    assert all(not p.requires_grad and p.grad is None for p in teacher.parameters())
    assert distiller.student is student
    assert student.backbone.weight.grad is not None
    assert student.backbone.weight.grad.abs().sum() > 0


def test_a_stand_in_teaches_and_the_teacher_stays():
    images, labels = batch()
    teacher, stand_in, student = Net(1), Net(2), Net(0)
    distiller = Distiller(student, teacher=teacher, method=KD(), stand_in=stand_in).train()
    assert distiller.teacher is teacher
    assert distiller.teaching is stand_in
    assert not stand_in.training
    assert {name.split(".")[0] for name in distiller.state_dict()} == {"student"}
    assert torch.equal(distiller.teach(images)["logits"], stand_in(images)["logits"])
    distiller(images, labels)["kd"].backward()
    assert all(p.grad is None for net in (teacher, stand_in) for p in net.parameters())
    assert Distiller(student, teacher=teacher, method=KD()).teaching is teacher


def test_losses_are_float32_under_bf16():
    images, labels = batch()
    distiller = Distiller(Net(0).eval(), teacher=Net(1), method=AICSD()).eval()
    exact = distiller(images, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = distiller(images, labels)
    assert all(value.dtype == torch.float32 for value in terms.values())
    for name, value in terms.items():
        torch.testing.assert_close(value, exact[name], rtol=0.05, atol=0.01)
