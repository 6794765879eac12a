"""The interface of a distillation method, and a few functions shared by the methods."""

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
    """The interface of a distillation method.

    A method owns the adapters that it trains alongside the student, never a network. Its constructor takes
    the options of its block in params.yaml as annotated keyword-only arguments with defaults, and may ask by
    name for ``student_channels``, ``teacher_channels`` (the width of every tap) and ``num_classes``.

    Attributes:
        taps: The taps it reads from both networks; an instance may override those of its class.
        terms: The names of the loss terms it returns; an instance may override these, too.
        draws: Whether its loss depends on more than the batch: on random numbers (from torch's global
            generator, which the loop reseeds every epoch) or on earlier batches (buffers, saved in
            checkpoints).
        across_images: Whether its loss depends on which images share a forward pass. With several processes
            it then uses ``icsd.core.pieces`` to see the images of all of them.
        published: The published weights of its terms, converted to this project's normalisation (with a term
            ``kd`` if the published recipe adds pixel-wise KD); empty if none is known.
        left_out: The part of the published method that is not implemented; empty if there is none.
    """

    taps: tuple[str, ...]
    terms: tuple[str, ...]
    draws: ClassVar[bool] = False
    across_images: bool = False
    published: ClassVar[Mapping[str, float]] = MappingProxyType({})
    left_out: ClassVar[str] = ""

    def forward(self, student: Taps, teacher: Taps, labels: Integer[Tensor, "B H W"]) -> Terms:
        """Compute every term, unweighted, as a float32 scalar; gradients reach only the student."""
        raise NotImplementedError


def at_resolution(
    logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"], resolution: Resolution
) -> Float[Tensor, "B C _ _"]:
    """The logits unchanged, or upsampled bilinearly to the size of the labels."""
    if resolution == "logits":
        return logits
    return upsample(logits, labels.shape[-2:])


def counted(
    logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"], ignored: Ignored
) -> Bool[Tensor, "B h w"] | None:
    """Mask of the positions of ``logits`` that count; None if all do."""
    return valid_positions(labels, (logits.shape[-2], logits.shape[-1])) if ignored == "exclude" else None


def number_counted(
    logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"], ignored: Ignored
) -> Tensor | None:
    """The divisor (``icsd.core.pieces.divisor``) of a sum over the positions that count; None if all do."""
    if ignored == "include":
        return None
    size = (logits.shape[-2], logits.shape[-1])
    return divisor(lambda labels: valid_positions(labels, size).sum(), labels)
