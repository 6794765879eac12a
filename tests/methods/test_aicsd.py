import torch
from tests.imports import ROOT

from icsd.methods.aicsd import AICSD
from icsd.methods.icsd import ICSD
from icsd.methods.kd import KD
from icsd.yaml_files import read_yaml


def test_is_icsd_and_kd_with_the_same_options() -> None:
    student, teacher = {"logits": torch.randn(2, 4, 5, 5)}, {"logits": torch.randn(2, 4, 5, 5)}
    labels = torch.randint(0, 4, (2, 17, 17))
    labels[:, :6] = 255
    terms = AICSD(temperature=2.0, ignored="include", resolution="input", rows="l2")(student, teacher, labels)
    icsd = ICSD(temperature=2.0, ignored="include", resolution="input", rows="l2")(student, teacher, labels)
    kd = KD(temperature=2.0, ignored="include", resolution="input")(student, teacher, labels)
    assert terms == {**icsd, **kd}


def test_released_concerns_icsd_alone() -> None:
    student, teacher = {"logits": torch.randn(2, 4, 5, 5)}, {"logits": torch.randn(2, 4, 5, 5)}
    labels = torch.randint(0, 4, (2, 17, 17))
    terms = AICSD(variant="released")(student, teacher, labels)
    assert terms["icsd"] == ICSD(variant="released")(student, teacher, labels)["icsd"]
    assert terms["kd"] == KD()(student, teacher, labels)["kd"]


def test_the_released_block_has_the_authors_kd() -> None:
    """Their KD counts ignored pixels and compares upsampled logits, as their ICSD does."""
    block = read_yaml(ROOT / "params.yaml")["methods"]["aicsd_released"]
    assert (block["ignored"], block["resolution"]) == ("include", "input")
