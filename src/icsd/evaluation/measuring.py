"""Evaluation on a split: exact confusion per image, similarity matrices, agreement with the teacher."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from icsd.core.confusion import confusion_counts
from icsd.core.labels import IGNORE, Pixels
from icsd.core.logits import resized, valid_positions
from icsd.core.predictions import predicted_classes
from icsd.core.similarity import ics_matrix
from icsd.data.loaders import Images
from icsd.records import Agreement


@dataclass(frozen=True)
class Evaluated:
    """Results of a network on a split.

    Attributes:
        confusion: Counts of each of the N images, [N, C, C]; rows: truth, columns: prediction.
        student_ics: Similarity matrix in nats, [C, C], mean over the images that have labelled positions.
        teacher_ics: The teacher's similarity matrix, [C, C]; None without a teacher.
        agreement: Agreement with the teacher; None without a teacher.
        predictions: Maps the index of an image to class ids [H, W], for the images in ``keep``.
    """

    confusion: NDArray[np.int64]
    student_ics: NDArray[np.float64]
    teacher_ics: NDArray[np.float64] | None
    agreement: Agreement | None
    predictions: dict[int, Pixels]


class Teacher:
    """The network with which students are compared, and its logits, kept for the next student.

    Args:
        network: The network, in eval mode, on the students' device.
        limit_bytes: Memory for its logits; those that do not fit are computed again for every student.
    """

    def __init__(self, network: nn.Module, limit_bytes: int = 0) -> None:
        self._network = network
        self._left = limit_bytes
        self._logits: dict[int, Tensor] = {}

    def logits(self, index: int, image: Tensor) -> Tensor:
        """Logits [1, C, h, w] in float32 of the image with this index in the split."""
        if index in self._logits:
            return self._logits[index]
        logits: Tensor = self._network(image)["logits"].float()
        if logits.nbytes <= self._left:
            self._left -= logits.nbytes
            self._logits[index] = logits
        return logits


@torch.no_grad()
def evaluate(
    network: nn.Module,
    images: Images,
    *,
    num_classes: int,
    temperature: float,
    device: torch.device,
    teacher: Teacher | None = None,
    keep: frozenset[int] = frozenset(),
) -> Evaluated:
    """Run a network and optionally its teacher over a split.

    Args:
        network: The network, in eval mode, on ``device``.
        images: The split, one image at a time, in order.
        num_classes: Number of classes C.
        temperature: Temperature of the similarity matrices' spatial softmax.
        device: Device of the networks.
        teacher: The network to compare with; for one split only, whose logits it keeps.
        keep: Indices of the images whose predictions are kept.

    Raises:
        ValueError: No image has a labelled pixel, or a network's logits are not finite.
    """
    confusions: list[Tensor] = []
    predictions: dict[int, Pixels] = {}
    means = _Means(temperature)
    for index, image, labels in images:
        image, labels = image.to(device), labels.to(device)
        logits = network(image)["logits"].float()
        prediction = predicted_classes(logits, labels.shape[-2:])
        confusions.append(confusion_counts(prediction, labels, num_classes))
        if index in keep:
            predictions[index] = prediction[0].cpu().numpy().astype(np.uint8)
        valid = valid_positions(labels, logits.shape[-2:])
        if not valid.any():
            continue  # an image without a labelled position has no matrix
        own = means.add_student(logits, valid)
        if teacher is not None:
            theirs = resized(teacher.logits(index, image), logits)
            means.compare(own, logits, theirs, prediction, labels, valid)
    return Evaluated(
        confusion=torch.stack(confusions).cpu().numpy(),
        student_ics=means.student_ics.value.cpu().numpy(),
        teacher_ics=means.teacher_ics.value.cpu().numpy() if teacher is not None else None,
        agreement=means.agreement() if teacher is not None else None,
        predictions=predictions,
    )


class _Mean:
    """Running weighted mean of tensors, on their own device."""

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


class _Means:
    """Similarity matrices and agreement, averaged over images."""

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature
        self.student_ics, self.teacher_ics = _Mean(), _Mean()
        self._distance, self._kl_and_same = _Mean(), _Mean()

    def _ics(self, logits: Tensor, valid: Tensor) -> Tensor:
        return ics_matrix(logits, temperature=self._temperature, valid=valid)[0].double()

    def add_student(self, logits: Tensor, valid: Tensor) -> Tensor:
        """Add an image and return the student's matrix [C, C] for it."""
        own = self._ics(logits, valid)
        self.student_ics.add(own)
        return own

    def compare(
        self,
        own: Tensor,
        logits: Tensor,
        teacher_logits: Tensor,
        prediction: Tensor,
        labels: Tensor,
        valid: Tensor,
    ) -> None:
        """Add the teacher's matrix for the same image, and the student's differences from the teacher."""
        theirs = self._ics(teacher_logits, valid)
        self.teacher_ics.add(theirs)
        self._distance.add((own - theirs).square().mean())
        self._kl_and_same.add(*_pixel_agreement(logits, teacher_logits, prediction, labels, valid))

    def agreement(self) -> Agreement:
        kl, same = self._kl_and_same.value.tolist()
        return Agreement(pixels=same, kl=kl, ics_distance=self._distance.value.item())


def _pixel_agreement(
    logits: Tensor, teacher_logits: Tensor, prediction: Tensor, labels: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """One image's means over labelled pixels, [KL, same prediction], and the number of labelled pixels."""
    log_teacher = teacher_logits.log_softmax(1)
    kl_map = (log_teacher.exp() * (log_teacher - logits.log_softmax(1))).sum(1)
    labelled = labels != IGNORE
    same = predicted_classes(teacher_logits, labels.shape[-2:]) == prediction
    means = torch.stack([kl_map[valid].double().mean(), same[labelled].double().mean()])
    return means, labelled.sum().double()


def evenly_spread(count: int, num_images: int) -> list[int]:
    """At most ``count`` ascending indices, evenly spread over a split and the same for every network."""
    count = min(count, num_images)
    return [round((2 * place + 1) * num_images / (2 * count) - 0.5) for place in range(count)]
