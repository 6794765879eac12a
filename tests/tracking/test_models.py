"""The exported program, saved to a store and loaded again without pickle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.libraries import of_library
from torch import Tensor, nn
from torch.nn import functional

from icsd.data.transforms import prepare
from icsd.models.contract import Architecture
from icsd.models.deeplab import DeepLabV3Plus
from icsd.models.networks import new_network
from icsd.tracking import ModelSpec, Tracker
from icsd.tracking.models import save_model
from icsd.tracking.store import open_client

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
STATISTICS = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
SCALES = (1.0, 0.5, 0.25)
SIZES = [
    *((1, 360, 480), (2, 97, 131), (1, 64, 64), (5, 46, 70), (1, 34, 54), (3, 17, 33)),
    *((1, 16, 16), (2, 9, 15), (1, 2, 200), (1, 1, 1)),
]


class Net(nn.Module):
    """The smallest network with taps, dropout, normalisation, a pooled branch and logits at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.deep = nn.Conv2d(4, 4, 3, stride=4, padding=2, dilation=2)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 5, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        stage1 = self.stem(images)
        deep = functional.relu(self.deep(stage1))
        deep = deep + deep.mean(dim=(2, 3), keepdim=True).expand_as(deep)
        deep = functional.interpolate(deep, stage1.shape[-2:], mode="bilinear", align_corners=True)
        return {"stage1": stage1, "logits": self.classifier(stage1 + deep)}


def expected(network: nn.Module, images: Tensor, *, scale: float) -> Tensor:
    """What the evaluation computes: each image prepared on its own."""
    prepared = [prepare(image.numpy(), input_scale=scale, **STATISTICS) for image in images]
    with torch.no_grad():
        logits = network.eval()(torch.stack(prepared))["logits"]
    return functional.interpolate(logits, images.shape[1:3], mode="bilinear", align_corners=True)


def saved(network: nn.Module, folder: Path, scale: float) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    save_model(
        network, folder, ModelSpec("student", IMAGE, scale, **STATISTICS, metadata={"classes": ["sky"]})
    )
    return network, folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[float, tuple[nn.Module, Path]]:
    """Scale -> a network, and the path where it was saved."""
    folder = tmp_path_factory.mktemp("models")
    return {scale: saved(Net().train(), folder / str(scale), scale) for scale in SCALES}


def assert_predicts(network: nn.Module, predict: Callable[[Tensor], Any], scale: float) -> None:
    for size in SIZES:
        images = torch.randint(0, 256, (*size, 3), dtype=torch.uint8)
        # Scaled pixels may round to the neighbouring grey level: the evaluation scales whole numbers.
        tolerance = 1e-4 if scale == 1 else 0.05
        wanted = expected(network, images, scale=scale)
        # An untrained deep network has large logits, and its rounding errors grow with them.
        largest = max(1.0, wanted.abs().max().item())
        torch.testing.assert_close(
            torch.as_tensor(predict(images)),
            wanted,
            rtol=1e-4,
            atol=tolerance * largest,
            msg=f"{size}",
        )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("loader", ["pytorch", "pyfunc"])
def test_a_model_predicts_images_of_any_number_and_size(
    scale: float,
    loader: str,
    models: dict[float, tuple[nn.Module, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    network, folder = models[scale]
    if loader == "pytorch":
        loaded = mlflow.pytorch.load_model(str(folder))
        assert_predicts(network, lambda images: loaded(images).detach(), scale)
    else:
        function = mlflow.pyfunc.load_model(str(folder))
        assert_predicts(network, lambda images: function.predict(images.numpy()), scale)


def test_a_model_says_what_it_takes_and_gives_an_example(models: dict[float, tuple[nn.Module, Path]]) -> None:
    from mlflow.models import Model

    folder = models[1.0][1]
    model = Model.load(str(folder))
    assert model.signature is not None
    shapes = {
        name: json.loads(schema.to_json())[0]["tensor-spec"]
        for name, schema in (("inputs", model.signature.inputs), ("outputs", model.signature.outputs))
    }
    assert shapes == {
        "inputs": {"dtype": "uint8", "shape": [-1, -1, -1, 3]},
        "outputs": {"dtype": "float32", "shape": [-1, 5, -1, -1]},
    }
    example = np.asarray(model.load_input_example(str(folder)))
    assert example.dtype == np.uint8
    assert example.shape == (2, 64, 96, 3)
    assert model.metadata == {"classes": ["sky"]}


def test_a_program_names_no_folder_of_this_machine(models: dict[float, tuple[nn.Module, Path]]) -> None:
    for path in models[0.25][1].rglob("*"):
        if path.is_file():
            assert str(Path(__file__).parent).encode() not in path.read_bytes(), path


def test_a_logged_model_is_found_by_its_id_and_by_its_run(
    track: Callable[..., Tracker], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    network = Net()
    with track() as tracker:
        tracker.log({"loss": 1.0}, 7)
        tracker.model(network, ModelSpec("student", IMAGE, 1.0, **STATISTICS, metadata={}))
    client = open_client(root)
    run = client.get_run(str(tracker.run_id))
    (output,) = run.outputs.model_outputs
    assert output.step == 7
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    mlflow.set_tracking_uri(client.tracking_uri)
    for uri in (f"models:/{output.model_id}", f"runs:/{tracker.run_id}/student"):
        assert mlflow.pyfunc.load_model(uri).predict(IMAGE[None]).shape == (1, 5, 80, 100)
    assert list((root / ".state").rglob("*.pt2")) == []


def test_a_network_that_cannot_be_exported_does_not_fail_the_training(
    track: Callable[..., Tracker], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with track() as tracker:
        tracker.model(nn.Identity(), ModelSpec("student", IMAGE, 1.0, **STATISTICS, metadata={}))
    assert open_client(root).get_run(str(tracker.run_id)).info.status == "FINISHED"
    assert "model is left out" in caplog.text


@pytest.mark.slow  # real networks take seconds to export
@pytest.mark.parametrize(
    ("backbone", "scale"),
    [("resnet18", 1.0), ("resnet50", 0.25), ("mobilenetv2", 0.25), ("efficientnet_lite0", 1.0)],
)
def test_every_kind_of_network_predicts_images_of_any_size(
    backbone: str, scale: float, tmp_path: Path
) -> None:
    import mlflow

    network = DeepLabV3Plus(Architecture(backbone=backbone, num_classes=5, width=0.125, output_stride=16))
    saved(network, tmp_path / "model", scale)
    loaded = mlflow.pytorch.load_model(str(tmp_path / "model"))
    assert_predicts(network, lambda images: loaded(images).detach(), scale)


def test_a_network_of_a_library_takes_images_of_any_size_with_its_own_normalisation(tmp_path: Path) -> None:
    import mlflow

    network = new_network(
        of_library("smp:fpn/tu-test_resnet", normalisation=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    )
    saved(network, tmp_path / "model", 1.0)
    loaded = mlflow.pytorch.load_model(str(tmp_path / "model"))
    assert_predicts(network, lambda images: loaded(images).detach(), 1.0)
