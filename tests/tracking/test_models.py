"""The exported program, through a store and back, without pickle."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from icsd.data.transforms import prepare
from icsd.models.deeplab import Architecture, DeepLabV3Plus
from icsd.tracking import ModelSpec, Tracker
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


IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
STATISTICS = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}


def expected(network: nn.Module, images: Tensor, *, scale: float) -> Tensor:
    """What the evaluation computes: each image prepared on its own."""
    prepared = [prepare(image.numpy(), input_scale=scale, **STATISTICS) for image in images]
    with torch.no_grad():
        logits = network.eval()(torch.stack(prepared))["logits"]
    return functional.interpolate(logits, images.shape[1:3], mode="bilinear", align_corners=True)


def network_named(name: str) -> nn.Module:
    if name == "smallest":
        return Net()
    return DeepLabV3Plus(Architecture(backbone=name, num_classes=5, width=0.25, output_stride=16))


@pytest.mark.parametrize(("name", "scale"), [("smallest", 1.0), ("smallest", 0.5), ("resnet18", 1.0)])
def test_a_logged_model_loads_and_predicts_images_of_any_number_and_size(
    name: str, scale: float, track: Callable[..., Tracker], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    torch.manual_seed(0)
    network = network_named(name).train()
    with track() as tracker:
        tracker.log({"loss": 1.0}, 7)
        tracker.model(
            network,
            ModelSpec("student", IMAGE, scale, **STATISTICS, metadata={"classes": ["sky", "road"]}),
        )
    assert network.training

    client = open_client(root)
    run = client.get_run(str(tracker.run_id))
    (output,) = run.outputs.model_outputs
    assert output.step == 7
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(client.tracking_uri)
    for uri in (f"models:/{output.model_id}", f"runs:/{tracker.run_id}/student"):
        loaded = mlflow.pytorch.load_model(uri)
        for size in ((1, 96, 96), (2, 64, 64), (5, 46, 70)):
            images = torch.randint(0, 256, (*size, 3), dtype=torch.uint8)
            # Scaled images are rounded in the evaluation, not in the program: half a grey level at most.
            tolerance = 1e-4 if scale == 1 else 0.05
            torch.testing.assert_close(
                loaded(images), expected(network, images, scale=scale), rtol=1e-4, atol=tolerance
            )
    description = mlflow.models.get_model_info(f"models:/{output.model_id}")
    assert description.metadata == {"classes": ["sky", "road"]}
    assert [spec["tensor-spec"]["shape"] for spec in json.loads(description.signature.inputs.to_json())] == [
        [-1, -1, -1, 3]
    ]
    as_function = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    picture = IMAGE[None]
    np.testing.assert_allclose(
        as_function.predict(picture), loaded(torch.from_numpy(picture)).detach().numpy(), rtol=1e-4, atol=1e-4
    )
    assert list((root / ".state").rglob("*.pt2")) == []


def test_a_network_that_cannot_be_exported_does_not_fail_the_training(
    track: Callable[..., Tracker], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with track() as tracker:
        tracker.model(nn.Identity(), ModelSpec("student", IMAGE, 1.0, **STATISTICS, metadata={}))
    assert open_client(root).get_run(str(tracker.run_id)).info.status == "FINISHED"
    assert "cannot be exported" in caplog.text
