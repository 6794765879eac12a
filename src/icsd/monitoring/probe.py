"""A student's inter-class similarity matrix during training, on a small fixed set of images."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icsd.core.logits import valid_positions
from icsd.core.similarity import ics_matrix
from icsd.data.loaders import Images


@dataclass
class SimilarityHistory:
    """The similarity matrices of a student during its training.

    Attributes:
        epochs: Number of finished epochs at each measurement; 0 is before training.
        matrices: The student's matrix at each measurement, float32 [C, C], mean over the images, in nats.
        distances: Mean squared difference from the teacher's matrix, mean over the images, in nats².
    """

    epochs: list[int] = field(default_factory=list)
    matrices: list[Tensor] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def add(self, epoch: int, matrix: Tensor, distance: float) -> None:
        """Append a measurement."""
        self.epochs.append(epoch)
        self.matrices.append(matrix)
        self.distances.append(distance)


class SimilarityProbe:
    """Compares a student's matrices with its teacher's on fixed images, without augmentation.

    The temperature is 1 and ignored positions are left out, as in the evaluation's defaults. The distance is
    the unweighted ICSD loss of these images (arXiv 2308.04243, eq. 5), even if the method does not train on
    it.

    Args:
        images: The probe's images; those without a labelled position have no matrix and are left out.
        ids: Ids of the images.
        teacher: The teacher, in eval mode, on ``device``; used only in the constructor.
        device: Device of the networks.

    Attributes:
        ids: Ids of the images.
        teacher_matrix: The teacher's matrix, float32 [C, C], mean over the images; None if no image has a
            labelled position.
    """

    def __init__(
        self, images: Images, *, ids: Sequence[str] = (), teacher: nn.Module, device: torch.device
    ) -> None:
        self.ids = tuple(ids)
        self._device = device
        self._images: list[tuple[Tensor, Tensor]] = []
        """Image [1, 3, H, W] and labels [1, H, W] on the CPU."""
        teacher_matrices = []
        for _, image, labels in images:
            with torch.no_grad():
                logits = teacher(image.to(device))["logits"]
            valid = valid_positions(labels.to(device), logits.shape[-2:])
            if valid.any():
                self._images.append((image, labels))
                teacher_matrices.append(ics_matrix(logits, valid=valid)[0])
        self._teacher = torch.stack(teacher_matrices) if teacher_matrices else None
        self.teacher_matrix = None if self._teacher is None else self._teacher.mean(0).cpu()

    @torch.no_grad()
    def measure(self, student: nn.Module) -> tuple[Float[Tensor, "C C"], float]:
        """The student's mean matrix and its distance; leaves the network in training mode.

        Raises:
            ValueError: No image has a labelled position.
        """
        if self._teacher is None:
            raise ValueError("no image has a labelled position")
        student.eval()
        matrices = torch.stack([self._matrix(student, *pair) for pair in self._images])
        student.train()
        return matrices.mean(0).cpu(), float((matrices - self._teacher).square().mean())

    def _matrix(self, student: nn.Module, image: Tensor, labels: Tensor) -> Tensor:
        logits = student(image.to(self._device))["logits"]  # its grid may differ from the teacher's
        valid = valid_positions(labels.to(self._device), logits.shape[-2:])
        return ics_matrix(logits, valid=valid)[0]
