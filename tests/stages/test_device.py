from typing import Any

import pytest
import torch

from icsd.errors import UserError
from icsd.params import Runtime
from icsd.stages.device import accelerator

RUNTIME: dict[str, Any] = {
    **{"devices": 1, "num_nodes": 1, "precision": "32-true", "workers": 0, "threads": 1},
    **{"mode": "exact", "channels_last": False, "fold_teacher": False, "fused_optimizer": False},
    **{"compile": False, "max_batch_per_device": None, "teacher_cache": "off", "teacher_cache_gb": 1.0},
}


@pytest.mark.parametrize(
    ("wanted", "available", "given"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_auto_is_cuda_where_there_is_any(monkeypatch, wanted, available, given):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert accelerator(Runtime(accelerator=wanted, **RUNTIME)) == given


def test_cuda_by_name_is_never_something_else(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"runtime\.accelerator: is cuda, but torch sees no CUDA device"):
        accelerator(Runtime(accelerator="cuda", **RUNTIME))
