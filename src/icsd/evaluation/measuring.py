"""A network on a split: exact confusion per image, similarity matrices, agreement with the teacher."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.core.confusion import confusion_counts
from icsd.core.labels import IGNORE
from icsd.core.logits import upsample, valid_positions
from icsd.core.similarity import ics_matrix
from icsd.data.loaders import Images


@dataclass(frozen=True)
class Agreement:
    """How close a student is to its teacher on the reported split.

    Attributes:
        pixels: Fraction of labelled pixels on which both predict the same class.
        kl: Mean over labelled pixels (of the logits' grid) of KL(teacher ‖ student), τ = 1, in nats.
        ics_distance: Mean over images of the similarity matrices' mean squared difference: the ICSD loss.
    """

    pixels: float
    kl: float
    ics_distance: float


@dataclass(frozen=True)
class Evaluated:
    """One confusion matrix [C, C] per image (rows: truth), mean similarity matrices [C, C], agreement."""

    confusion: NDArray[np.int64]
    student_ics: NDArray[np.float64]
    teacher_ics: NDArray[np.float64] | None
    agreement: Agreement | None
    predictions: dict[int, NDArray[np.uint8]]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    images: Images,
    *,
    num_classes: int,
    temperature: float,
    device: torch.device,
    teacher: nn.Module | None = None,
    keep: frozenset[int] = frozenset(),
) -> Evaluated:
    """Run a network, and its teacher beside it, over a split.

    Args:
        network: In eval mode, on ``device``.
        images: The split, one image at a time, in order.
        num_classes: Number of classes C.
        temperature: Of the similarity matrices' spatial softmax.
        device: Where the networks are.
        teacher: Measured beside the network where it is given.
        keep: Indices whose predictions [h, w] are kept for pictures.
    """
    confusions: list[Tensor] = []
    student_ics, teacher_ics, distance, kl_and_same = _Mean(), _Mean(), _Mean(), _Mean()
    predictions: dict[int, NDArray[np.uint8]] = {}
    for index, image, labels in images:
        image, labels = image.to(device), labels.to(device)
        logits = network(image)["logits"].float()
        prediction = upsample(logits, labels.shape[-2:]).argmax(1)
        confusions.append(confusion_counts(prediction, labels, num_classes))
        if index in keep:
            predictions[index] = prediction[0].cpu().numpy().astype(np.uint8)
        valid = valid_positions(labels, logits.shape[-2:])
        if not valid.any():
            continue  # an image without a labelled position has no matrix
        own = ics_matrix(logits, temperature=temperature, valid=valid)[0].double()
        student_ics.add(own)
        if teacher is not None:
            teacher_logits = teacher(image)["logits"].float()
            theirs = ics_matrix(teacher_logits, temperature=temperature, valid=valid)[0].double()
            teacher_ics.add(theirs)
            distance.add((own - theirs).square().mean())
            kl_and_same.add(*_pixel_agreement(logits, teacher_logits, prediction, labels, valid))
    agreement = None
    if teacher is not None:
        kl, same = kl_and_same.value.tolist()
        agreement = Agreement(pixels=same, kl=kl, ics_distance=distance.value.item())
    return Evaluated(
        confusion=torch.stack(confusions).cpu().numpy(),
        student_ics=student_ics.value.cpu().numpy(),
        teacher_ics=teacher_ics.value.cpu().numpy() if teacher is not None else None,
        agreement=agreement,
        predictions=predictions,
    )


class _Mean:
    """Running weighted sum of tensors, kept on their device."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._weight: Tensor | float = 0.0

    def add(self, value: Tensor, weight: Tensor | float = 1.0) -> None:
        self._total = value * weight if self._total is None else self._total + value * weight
        self._weight = self._weight + weight

    @property
    def value(self) -> Tensor:
        if self._total is None:
            raise ValueError("the split has no labelled pixel at all")
        return self._total / self._weight


def _pixel_agreement(
    logits: Tensor, teacher_logits: Tensor, prediction: Tensor, labels: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """Means of one image over its labelled pixels, [KL, same prediction], and the number of these pixels."""
    log_teacher = teacher_logits.log_softmax(1)
    kl_map = (log_teacher.exp() * (log_teacher - logits.log_softmax(1))).sum(1)
    labelled = labels != IGNORE
    same = upsample(teacher_logits, labels.shape[-2:]).argmax(1) == prediction
    means = torch.stack([kl_map[valid].double().mean(), same[labelled].double().mean()])
    return means, labelled.sum().double()


def kept_indices(num_images: int, *, panels: int) -> Iterator[int]:
    """``panels`` indices spread evenly over a split, the same for every network."""
    count = min(panels, num_images)
    return (round((2 * place + 1) * num_images / (2 * count) - 0.5) for place in range(count))
