"""The code that the documentation tells people to write works as it stands there."""

import pytest
import torch
from tests.docs.markdown import code_blocks
from tests.imports import ROOT

from icsd.methods import METHODS, Method, build_method
from icsd.yaml_files import parse_yaml

EXTENDING = ROOT / "docs/extending.md"
CHANNELS = {"logits": 3}


def written_by_a_reader(code: str) -> type[Method]:
    namespace: dict[str, object] = {"__name__": "mimic"}
    exec(compile(code, str(EXTENDING), "exec"), namespace)  # noqa: S102 - what the reader is told to type
    [method] = [
        value
        for value in namespace.values()
        if isinstance(value, type) and issubclass(value, Method) and value is not Method
    ]
    return method


def test_the_example_of_a_method_trains_a_student(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "mimic", written_by_a_reader(code_blocks(EXTENDING, "python")[0]))
    block = parse_yaml(code_blocks(EXTENDING, "yaml")[0].encode(), EXTENDING)["methods"]["mimic"]
    method = build_method("mimic", block, student_channels=CHANNELS, teacher_channels=CHANNELS, num_classes=3)
    assert method is not None
    student = torch.randn(2, 3, 8, 8, requires_grad=True)
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    terms = method({"logits": student}, {"logits": torch.randn(2, 3, 8, 8)}, labels)
    assert terms.keys() == block["weights"].keys()
    terms["mimic"].backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
