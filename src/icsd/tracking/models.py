"""A network as an MLflow model: a torch.export program (no pickle) with a signature."""

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

# The program is traced on a small example, stored as JSON beside it. The three free sizes are above one and
# differ, so that the exporter neither fixes nor equates them.
_EXAMPLE = (2, 3, 64, 96)


def save_model(
    network: "nn.Module", folder: Path, *, input_shape: tuple[int, int, int], metadata: Mapping[str, Any]
) -> None:
    """Write ``folder`` in MLflow's model format.

    The program takes normalised float32 images [B, 3, H, W] of any B, H and W and returns logits [B, C, H,
    W]: the network's own, upsampled bilinearly (corners aligned).

    Args:
        network: Its forward returns a dict of taps with ``logits``; it is left as it is.
        folder: Must not exist yet.
        input_shape: (3, H, W) of the images the network was made for; kept in the metadata.
        metadata: JSON values kept in the model's description.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what MLflow imports, not about the network
        _save(network, folder, input_shape=input_shape, metadata=metadata)


def _save(
    network: "nn.Module", folder: Path, *, input_shape: tuple[int, int, int], metadata: Mapping[str, Any]
) -> None:
    import mlflow.pytorch
    import torch
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from torch import nn
    from torch.nn import functional

    class Segmenter(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = self.network(images)["logits"]
            return functional.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)

    segmenter = Segmenter(copy.deepcopy(network).cpu().float()).eval()
    example = np.zeros(_EXAMPLE, np.float32)
    with torch.no_grad():
        num_classes = segmenter(torch.from_numpy(example)).shape[1]
    float32 = np.dtype(np.float32)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(float32, (-1, input_shape[0], -1, -1))]),
        outputs=Schema([TensorSpec(float32, (-1, num_classes, -1, -1))]),
    )
    mlflow.pytorch.save_model(
        segmenter,
        str(folder),
        input_example=example,
        signature=signature,
        serialization_format="pt2",
        # Given, because MLflow would find them out by loading the model in another process (8 s).
        pip_requirements=[f"mlflow=={mlflow.__version__}", f"torch=={torch.__version__.split('+')[0]}"],
        metadata={**metadata, "input_shape": list(input_shape)},
    )
