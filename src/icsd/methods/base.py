"""What a distillation method is, and the few functions that all of them need."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from icsd.core.logits import upsample, valid_positions
from icsd.core.pieces import divisor
from icsd.params.block import Temperature as Temperature

Taps = Mapping[str, Tensor]
Terms = dict[str, Tensor]
Ignored = Literal["exclude", "include"]
Resolution = Literal["logits", "input"]


class Method(nn.Module):
    """A distillation method: an interface, nothing more.

    A method owns what it trains alongside the student (adapters), never a network. Its constructor takes the
    options of its block in params.yaml as annotated keyword-only arguments with defaults, and may ask by
    name for ``student_channels``, ``teacher_channels`` (the width of every tap) and ``num_classes``.

    Attributes:
        taps: What it reads of both networks; an instance may read others than its class says.
        terms: The names of the loss terms it returns; likewise.
        draws: Whether its loss depends on more than the batch: on random numbers (of torch's own generator,
            which the loop seeds anew in every epoch) or on former batches (buffers, kept in checkpoints).
        across_images: Whether its loss depends on which images are in a forward pass together: in several
            processes it then takes ``icsd.core.pieces`` to see all of them.
        published: Weights of its terms as published, converted to this project's normalisation (a term
            ``kd`` where the published recipe adds pixel-wise KD); empty where none is known.
        left_out: The part of the published method that is not here; empty where it is whole.
    """

    taps: tuple[str, ...]
    terms: tuple[str, ...]
    draws: ClassVar[bool] = False
    across_images: bool = False
    published: ClassVar[Mapping[str, float]] = MappingProxyType({})
    left_out: ClassVar[str] = ""

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """Every term, unweighted, as a float32 scalar; gradients reach the student only."""
        raise NotImplementedError


def at_resolution(
    logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"], resolution: Resolution
) -> Float[Tensor, "B C _ _"]:
    """The logits as they are, or upsampled bilinearly to the size of the labels."""
    if resolution == "logits":
        return logits
    return upsample(logits, labels.shape[-2:])


def counted(
    logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"], ignored: Ignored
) -> Bool[Tensor, "B h w"] | None:
    """The positions of ``logits`` that count; None stands for all."""
    return valid_positions(labels, (logits.shape[-2], logits.shape[-1])) if ignored == "exclude" else None


def number_counted(
    logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"], ignored: Ignored
) -> Tensor | None:
    """How many positions count, as ``icsd.core.pieces.divisor`` has it; None where all do."""
    if ignored == "include":
        return None
    size = (logits.shape[-2], logits.shape[-1])
    return divisor(lambda labels: valid_positions(labels, size).sum(), labels)
