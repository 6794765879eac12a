"""A network as an MLflow model: a torch.export program (no pickle), images in and logits out."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import nn

# The program is traced on two pictures of this size. The three free sizes are above one and differ, so that
# the exporter neither fixes nor equates them.
_TRACED = (64, 96)


def save_model(
    network: "nn.Module",
    folder: Path,
    *,
    image: npt.NDArray[np.uint8],
    input_scale: float,
    mean: Sequence[float],
    std: Sequence[float],
    metadata: Mapping[str, Any],
) -> None:
    """Write ``folder`` in MLflow's model format.

    The program takes RGB images as they are read, uint8 [B, H, W, 3] of any B, H and W, and returns logits
    [B, C, H, W]: scaled and normalised as in the evaluation, through the network, and upsampled bilinearly
    (corners aligned) to the images' size. Their argmax over C is the evaluation's prediction.

    Args:
        network: Its forward returns a dict of taps with ``logits``; it is left as it is.
        folder: Must not exist yet.
        image: [H, W, 3], one of those that the network was made for; kept, small, as the input example.
        input_scale: Size of an image as the network sees it, relative to its own.
        mean: Of the three channels, for images in 0..1.
        std: Of the three channels, for images in 0..1.
        metadata: JSON values kept in the model's description.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what MLflow imports, not about the network
        _save(network, folder, image, input_scale, (mean, std), metadata)


def _save(
    network: "nn.Module",
    folder: Path,
    image: npt.NDArray[np.uint8],
    input_scale: float,
    statistics: tuple[Sequence[float], Sequence[float]],
    metadata: Mapping[str, Any],
) -> None:
    import mlflow.pytorch
    import torch
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec
    from PIL import Image
    from torch import nn
    from torch.nn import functional

    class Segmenter(nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network
            for name, values in zip(("mean", "std"), statistics, strict=True):
                self.register_buffer(name, 255 * torch.tensor(values).reshape(1, 3, 1, 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = images.permute(0, 3, 1, 2).float()
            if input_scale != 1:
                pixels = functional.interpolate(
                    pixels,
                    scale_factor=input_scale,
                    mode="bilinear",
                    antialias=True,
                    recompute_scale_factor=True,
                )
            logits = self.network((pixels - self.mean) / self.std)["logits"]
            return functional.interpolate(logits, images.shape[1:3], mode="bilinear", align_corners=True)

    segmenter = Segmenter(copy.deepcopy(network).cpu().float()).eval()
    small = np.asarray(Image.fromarray(image).resize((_TRACED[1], _TRACED[0])))
    example = np.stack([small, small[:, ::-1]])
    with torch.no_grad():
        num_classes = segmenter(torch.from_numpy(example)).shape[1]
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, num_classes, -1, -1))]),
    )
    mlflow.pytorch.save_model(
        segmenter,
        str(folder),
        input_example=example,
        signature=signature,
        serialization_format="pt2",
        # Given, because MLflow would find them out by loading the model in another process (8 s).
        pip_requirements=[f"mlflow=={mlflow.__version__}", f"torch=={torch.__version__.split('+')[0]}"],
        metadata=dict(metadata),
    )
