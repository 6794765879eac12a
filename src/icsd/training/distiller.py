"""Student and method in one module, with the teacher next to it."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from icsd.core.logits import cross_entropy, resized
from icsd.core.supervision import AUXILIARY

if TYPE_CHECKING:
    from icsd.methods.base import Method


class Distiller(nn.Module):
    """Everything trainable in one ``forward``, so that DDP sees all of it.

    The teacher is kept outside the module tree: it is never trained, wrapped, switched to training mode or
    saved, and runs without autograd. Without a method it does not run at all. Its maps come to the
    size of the student's where the two networks have maps of different sizes.

    Args:
        student: Network whose ``forward`` returns taps, ``logits`` among them.
        teacher: The frozen network, or None to train the student alone.
        method: Compares the taps of both; None to train the student alone.
        stand_in: A faster form of the teacher, which runs in its place; None for none.
        class_weights: [C], of cross-entropy; None for equal ones.
        auxiliary: The loss in ``AUXILIARY`` that compares with the labels beside cross-entropy, if any.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        student: nn.Module,
        *,
        teacher: nn.Module | None,
        method: "Method | None",
        stand_in: nn.Module | None = None,
        class_weights: Tensor | None = None,
        auxiliary: str | None = None,
    ) -> None:
        super().__init__()
        if (teacher is None) != (method is None):
            raise ValueError("a teacher and a method come together, or not at all")
        self.student = student
        self.method = method
        self.label_terms = ("ce",) if auxiliary is None else ("ce", auxiliary)
        self.register_buffer("class_weights", class_weights, persistent=False)  # moves with the student
        # Tuples, so that they are no submodules.
        self._teacher: tuple[nn.Module, ...] = ()
        self._teaching: tuple[nn.Module, ...] = ()
        if teacher is not None:
            self._teacher = (teacher.eval().requires_grad_(False),)
            self._teaching = self._teacher if stand_in is None else (stand_in.eval().requires_grad_(False),)

    @property
    def teacher(self) -> nn.Module | None:
        """The frozen network, which is not in the module tree."""
        return self._teacher[0] if self._teacher else None

    @property
    def teaching(self) -> nn.Module | None:
        """What runs for the teacher: its stand-in, or the teacher itself."""
        return self._teaching[0] if self._teaching else None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that ``forward`` returns."""
        return (*self.label_terms, *self.method_terms)

    @property
    def method_terms(self) -> tuple[str, ...]:
        """Those of the method; none without one."""
        return self.method.terms if self.method is not None else ()

    def forward(
        self, images: Tensor, labels: Tensor, teacher_logits: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Unweighted float32 loss terms of a batch.

        Args:
            images: [B, 3, H, W].
            labels: int64 [B, H, W].
            teacher_logits: What the teacher gives for these images, where that is known and the method
                reads nothing else of it; the teacher then does not run.
        """
        taps = self.student(images)
        terms = {"ce": cross_entropy(taps["logits"], labels, self.class_weights)}
        terms |= {name: AUXILIARY[name](taps["logits"], labels) for name in self.label_terms[1:]}
        if self.method is not None:
            taught = self.teach(images) if teacher_logits is None else {"logits": teacher_logits}
            with torch.autocast(images.device.type, enabled=False):
                ours = {name: taps[name].float() for name in self.method.taps}
                # The one place where maps of different sizes meet: the student's size counts.
                theirs = {name: resized(taught[name].float(), ours[name]) for name in ours}
                terms |= self.method(ours, theirs, labels)
        return terms

    @torch.no_grad()  # not inference_mode: methods may multiply by the teacher's tensors
    def teach(self, images: Tensor) -> dict[str, Tensor]:
        """The teacher's taps of a batch of images [B, 3, H, W], in the precision that is in force."""
        taps: dict[str, Tensor] = self._teaching[0](images)
        return taps
