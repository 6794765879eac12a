"""The exported program, through a store and back, without pickle."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from icsd.models import Architecture, DeepLabV3Plus
from icsd.tracking import Tracker
from icsd.tracking.store import open_client

pytestmark = [
    pytest.mark.slow,  # torch.export and mlflow.pytorch take seconds to load
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Net(nn.Module):
    """The smallest network with taps, dropout, normalisation and logits at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 5, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        stage1 = self.stem(images)
        return {"stage1": stage1, "logits": self.classifier(stage1)}


def expected(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits = network.eval()(images)["logits"]
    return functional.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)


def network_named(name: str) -> nn.Module:
    if name == "smallest":
        return Net()
    return DeepLabV3Plus(Architecture(backbone=name, num_classes=5, width=0.25, output_stride=16))


@pytest.mark.parametrize("name", ["smallest", "resnet18"])
def test_a_logged_model_loads_and_predicts_any_batch_and_size(
    name: str, track: Callable[..., Tracker], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    torch.manual_seed(0)
    network = network_named(name).train()
    with track() as tracker:
        tracker.log({"loss": 1.0}, 7)
        tracker.model(network, name="student", input_shape=(3, 96, 96), metadata={"classes": ["sky", "road"]})
    assert network.training

    client = open_client(root)
    run = client.get_run(str(tracker.run_id))
    (output,) = run.outputs.model_outputs
    assert output.step == 7
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(client.tracking_uri)
    for uri in (f"models:/{output.model_id}", f"runs:/{tracker.run_id}/student"):
        loaded = mlflow.pytorch.load_model(uri)
        for size in ((1, 96, 96), (2, 64, 64), (5, 45, 70)):
            images = torch.randn(size[0], 3, *size[1:])
            torch.testing.assert_close(loaded(images), expected(network, images), rtol=1e-4, atol=1e-4)
    description = mlflow.models.get_model_info(f"models:/{output.model_id}")
    assert description.metadata["input_shape"] == [3, 96, 96]
    assert [spec["tensor-spec"]["shape"] for spec in json.loads(description.signature.inputs.to_json())] == [
        [-1, 3, -1, -1]
    ]
    assert list((root / ".state").rglob("*.pt2")) == []


def test_a_network_that_cannot_be_exported_does_not_fail_the_training(
    track: Callable[..., Tracker], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with track() as tracker:
        tracker.model(nn.Identity(), name="student", input_shape=(3, 96, 96), metadata={})
    assert open_client(root).get_run(str(tracker.run_id)).info.status == "FINISHED"
    assert "cannot be exported" in caplog.text
