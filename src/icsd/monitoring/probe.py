"""Similarity while a student learns: its inter-class similarity matrix on a few images that never change."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icsd.core.logits import valid_positions
from icsd.core.similarity import ics_matrix
from icsd.data.loaders import Images


@dataclass
class SimilarityCourse:
    """The matrices that a student has gone through; part of a run's progress.

    Attributes:
        epochs: Finished epochs at each of the E measurements; 0 is before training.
        matrices: The student's [C, C] float32 at each, mean over the images, in nats.
        distances: Mean over the images of the mean squared difference to the teacher's, in nats².
    """

    epochs: list[int] = field(default_factory=list)
    matrices: list[Tensor] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)


class SimilarityProbe:
    """Compares a student's matrices with its teacher's on fixed images, without augmentation.

    The temperature is 1 and ignored positions are left out, as in the evaluation's defaults. The distance is
    the ICSD loss of these images (arXiv 2308.04243, eq. 5, without a weight), for methods that do not train
    on it as well.

    Args:
        images: The probe images; those without a labelled position have no matrix and are left out.
        teacher: In eval mode, on ``device``; used here once and not kept.
        device: Where the networks are.

    Attributes:
        teacher_matrix: [C, C] float32, mean over the images; None when no image has a labelled position.
    """

    def __init__(self, images: Images, *, teacher: nn.Module, device: torch.device) -> None:
        self._device = device
        self._images: list[tuple[Tensor, Tensor]] = []
        """Image [1, 3, H, W], not on the device, and valid positions [1, h, w] of the logits' grid."""
        theirs = []
        for _, image, labels in images:
            with torch.no_grad():
                logits = teacher(image.to(device))["logits"]
            valid = valid_positions(labels.to(device), logits.shape[-2:])
            if valid.any():
                self._images.append((image, valid))
                theirs.append(ics_matrix(logits, valid=valid)[0])
        self._teacher = torch.stack(theirs) if theirs else None
        self.teacher_matrix = None if self._teacher is None else self._teacher.mean(0).cpu()

    @torch.no_grad()
    def measure(self, student: nn.Module) -> tuple[Float[Tensor, "C C"], float] | None:
        """The student's mean matrix and its distance; the network is left in training mode.

        Returns:
            None when no image has a labelled position.
        """
        if self._teacher is None:
            return None
        student.eval()
        ours = torch.stack(
            [
                ics_matrix(student(image.to(self._device))["logits"], valid=valid)[0]
                for image, valid in self._images
            ]
        )
        student.train()
        return ours.mean(0).cpu(), float((ours - self._teacher).square().mean())
