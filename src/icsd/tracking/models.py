"""A network as an MLflow model: a torch.export program (no pickle), images in and logits out."""

import copy
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from icsd.importing import uncollected
from icsd.tracking.base import ModelSpec

if TYPE_CHECKING:
    from mlflow.models.signature import ModelSignature
    from torch import nn
    from torch.export import ExportedProgram

# The program is traced on two pictures of this size, which are also the model's input example. The three free
# sizes are above one and differ, so that the exporter neither fixes nor equates them.
_TRACED = (64, 96)


def save_model(network: "nn.Module", folder: Path, spec: ModelSpec) -> None:
    """Write ``folder`` in MLflow's model format.

    The program takes RGB images as read from a file, uint8 [B, H, W, 3] of any B, H and W, and returns logits
    [B, C, H, W]: the images are scaled and normalised as in the evaluation, and the network's logits are
    upsampled bilinearly (corners aligned) to the images' size. Their argmax over C is the evaluation's
    prediction.

    Args:
        network: Its forward returns a dict of taps with ``logits``; it is not changed.
        folder: Must not exist yet.
        spec: How images become the network's input; its example is stored, small, as the input example.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what MLflow imports, not about the network
        with uncollected():  # tracing keeps nearly all of the many objects that it makes
            _save(network, folder, spec)


def _save(network: "nn.Module", folder: Path, spec: ModelSpec) -> None:
    import mlflow.pytorch
    import torch
    from PIL import Image, ImageOps

    segmenter = _segmenter(network, spec)
    small = np.asarray(ImageOps.fit(Image.fromarray(spec.example), (_TRACED[1], _TRACED[0])))
    example = np.stack([small, small[:, ::-1]])
    with torch.no_grad():
        num_classes = segmenter(torch.from_numpy(example)).shape[1]
    with _programs_of_free_sizes():
        mlflow.pytorch.save_model(
            segmenter,
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
    """Let the programs that are saved inside take images of any size.

    The exporter guards everything that it has compared while tracing, and refuses other sizes when the model
    runs: below 17 pixels, say, or where the smallest map would be one pixel high. But the traced operations
    are the same for every size. MLflow exports and saves in one go, and loading a program again to change it
    takes as long as half of its tracing: so it is changed on its way into the file.
    """
    import torch

    save = torch.export.save

    def save_freed(program: "ExportedProgram", *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - torch's own
        _free_sizes(program)
        save(program, *args, **kwargs)

    torch.export.save = save_freed  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.export.save = save


def _free_sizes(program: "ExportedProgram") -> None:
    from torch.utils._sympy.numbers import int_oo
    from torch.utils._sympy.value_ranges import ValueRanges

    program._guards_code = []
    for size in program.range_constraints:
        program.range_constraints[size] = ValueRanges(1, int_oo)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names of folders on this machine


def _segmenter(network: "nn.Module", spec: ModelSpec) -> "nn.Module":
    """A copy of the network, in float32 on the CPU, that takes images and returns logits of their size."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Segmenter(nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network
            for name, values in (("mean", spec.mean), ("std", spec.std)):
                self.register_buffer(name, 255 * torch.tensor(values).reshape(1, 3, 1, 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = images.permute(0, 3, 1, 2).float()
            if spec.input_scale != 1:  # to the size and the whole grey levels that the evaluation sees
                scaled = [math.trunc(side * spec.input_scale + 0.5) for side in images.shape[1:3]]
                size = cast(list[int], [torch.sym_max(1, side) for side in scaled])
                pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True).round()
            logits = self.network((pixels - self.mean) / self.std)["logits"]
            return functional.interpolate(logits, images.shape[1:3], mode="bilinear", align_corners=True)

    return Segmenter(copy.deepcopy(network).cpu().float()).eval()


def _signature(num_classes: int) -> "ModelSignature":
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, 3))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, num_classes, -1, -1))]),
    )
