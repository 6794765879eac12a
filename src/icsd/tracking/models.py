"""A network as an MLflow model: a torch.export program (no pickle), images in and logits out."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icsd.importing import uncollected
from icsd.programs import free_sizes, segmenter, trace_images
from icsd.tracking.base import ModelSpec

if TYPE_CHECKING:
    from mlflow.models.signature import ModelSignature
    from torch import nn
    from torch.export import ExportedProgram


def save_model(network: "nn.Module", folder: Path, spec: ModelSpec) -> None:
    """Write ``folder`` in MLflow's model format.

    The program takes RGB images as read from a file, uint8 [B, H, W, 3] of any B, H and W, and returns logits
    [B, C, H, W]: the images are scaled and normalised as in the evaluation, and the network's logits are
    upsampled bilinearly (corners aligned) to the images' size. Their argmax over C is the evaluation's
    prediction.

    Args:
        network: Its forward returns a dict of taps with ``logits``; it is not changed.
        folder: Must not exist yet.
        spec: How images become the network's input; a small form of its example is stored as input example.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from MLflow's imports, not about the network
        with uncollected():  # tracing keeps nearly all of the many objects it creates
            _save(network, folder, spec)


def _save(network: "nn.Module", folder: Path, spec: ModelSpec) -> None:
    import mlflow.pytorch
    import torch

    module = segmenter(network, input_scale=spec.input_scale, mean=spec.mean, std=spec.std)
    example = trace_images(spec.example)  # also the model's input example
    with torch.no_grad():
        num_classes = module(torch.from_numpy(example)).shape[1]
    with _programs_of_free_sizes():
        mlflow.pytorch.save_model(
            module,
            str(folder),
            input_example=example,
            signature=_signature(num_classes),
            serialization_format="pt2",
            # Given, because MLflow would infer them by loading the model in another process (8 s).
            pip_requirements=[f"mlflow=={mlflow.__version__}", f"torch=={torch.__version__.split('+')[0]}"],
            metadata=dict(spec.metadata),
        )


@contextmanager
def _programs_of_free_sizes() -> Iterator[None]:
    """Context in which saved programs accept images of any size.

    MLflow exports and saves in one call, and reloading a program to change it takes half as long as tracing
    it, so ``torch.export.save`` is patched to change the program before it is written.
    """
    import torch

    save = torch.export.save

    def save_freed(program: "ExportedProgram", *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - torch's own
        free_sizes(program)
        save(program, *args, **kwargs)

    torch.export.save = save_freed  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.export.save = save


def _signature(num_classes: int) -> "ModelSignature":
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, num_classes, -1, -1))]),
    )
