"""A network as a torch.export program, without pickle: images of any size and number in, logits out."""

import copy
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

TRACED = (64, 96)
"""Height and width of the two images on which a program is traced. The three dynamic sizes are above one and
differ, so that the exporter neither fixes nor equates them."""


def segmenter(
    network: "nn.Module", *, input_scale: float, mean: Sequence[float], std: Sequence[float]
) -> "nn.Module":
    """A copy of the network, in float32 on the CPU, that takes images and returns logits of their size.

    Args:
        network: Its forward returns a dict of taps with ``logits``.
        input_scale: Size of the image that the network sees, relative to the image as read.
        mean: Per channel, for pixel values in 0..1; it is subtracted.
        std: Per channel, for pixel values in 0..1; it divides.

    Returns:
        A module that takes RGB images as read from a file, uint8 [B, H, W, 3] of any B, H and W, and returns
        logits [B, C, H, W]: the images are scaled and normalised as in the evaluation, and the network's
        logits are upsampled bilinearly (corners aligned) to the images' size.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    class Segmenter(nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network
            for name, values in (("mean", mean), ("std", std)):
                self.register_buffer(name, 255 * torch.tensor(values).reshape(1, 3, 1, 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = images.permute(0, 3, 1, 2).float()
            if input_scale != 1:  # to the size and the whole grey levels that the evaluation sees
                scaled = [math.trunc(side * input_scale + 0.5) for side in images.shape[1:3]]
                size = cast(list[int], [torch.sym_max(1, side) for side in scaled])
                pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True).round()
            logits = self.network((pixels - self.mean) / self.std)["logits"]
            return functional.interpolate(logits, images.shape[1:3], mode="bilinear", align_corners=True)

    return Segmenter(copy.deepcopy(network).cpu().float()).eval()


def bare(network: "nn.Module") -> "nn.Module":
    """A copy of the network, in float32 on the CPU, without pre- and postprocessing.

    Returns:
        A module that takes normalised images [B, 3, H, W] and returns the network's own logits [B, C, h, w].
    """
    from torch import nn

    class Bare(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: "Tensor") -> "Tensor":
            logits: Tensor = self.network(images)["logits"]
            return logits

    return Bare(copy.deepcopy(network).cpu().float()).eval()


def trace_images(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two small images made from a picture [H, W, 3], to trace a segmenter on: uint8 [2, h, w, 3]."""
    from PIL import Image, ImageOps

    small = np.asarray(ImageOps.fit(Image.fromarray(picture), (TRACED[1], TRACED[0])))
    return np.stack([small, small[:, ::-1]])


def program_of(module: "nn.Module", example: "Tensor", *, sizes: Sequence[int]) -> "ExportedProgram":
    """Export a module whose input may have any length along some axes.

    Args:
        module: The module, in eval mode on the CPU.
        example: An input; its lengths along ``sizes`` are above one and differ.
        sizes: The dynamic axes.
    """
    import torch
    from torch.export import Dim

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's warnings about itself
        free = {axis: Dim.AUTO for axis in sizes}
        program = torch.export.export(module, (example,), dynamic_shapes=[free])
    free_sizes(program)
    return program


def free_sizes(program: "ExportedProgram") -> None:
    """Let a program take images of any size, in place.

    The exporter guards everything that it has compared while tracing, and refuses other sizes when the model
    runs: below 17 pixels, say, or where the smallest map would be one pixel high. But the traced operations
    are the same for every size.
    """
    from torch.utils._sympy.numbers import int_oo
    from torch.utils._sympy.value_ranges import ValueRanges

    program._guards_code = []
    for size in program.range_constraints:
        program.range_constraints[size] = ValueRanges(1, int_oo)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names of folders on this machine
