"""Student and method in one module, with the teacher kept outside the module tree."""

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
    saved, and runs without autograd. Without a method it does not run at all. If the two networks' maps
    differ in size, the teacher's are resized to the student's.

    Args:
        student: Network whose ``forward`` returns taps, including ``logits``.
        teacher: The frozen network, or None to train the student alone.
        method: Compares the taps of both; None to train the student alone.
        stand_in: A faster form of the teacher that runs in its place, or None.
        class_weights: Weights of cross-entropy, [C]; None for equal weights.
        auxiliary: Name in ``AUXILIARY`` of a second loss against the labels; None for cross-entropy alone.
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
        # Tuples, so that they are not registered as submodules.
        self._teacher: tuple[nn.Module, ...] = ()
        self._teaching: tuple[nn.Module, ...] = ()
        if teacher is not None:
            self._teacher = (teacher.eval().requires_grad_(False),)
            self._teaching = self._teacher if stand_in is None else (stand_in.eval().requires_grad_(False),)

    @property
    def teacher(self) -> nn.Module | None:
        """The frozen network, which is outside the module tree."""
        return self._teacher[0] if self._teacher else None

    @property
    def teaching(self) -> nn.Module | None:
        """The network that runs as the teacher: its stand-in, or the teacher itself."""
        return self._teaching[0] if self._teaching else None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that ``forward`` returns."""
        return (*self.label_terms, *self.method_terms)

    @property
    def method_terms(self) -> tuple[str, ...]:
        """Names of the method's terms; empty without a method."""
        return self.method.terms if self.method is not None else ()

    def forward(
        self, images: Tensor, labels: Tensor, teacher_logits: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Unweighted float32 loss terms of a batch.

        Args:
            images: [B, 3, H, W].
            labels: int64 [B, H, W].
            teacher_logits: The teacher's logits of these images, if they are known and the method reads no
                other tap; the teacher then does not run.
        """
        taps = self.student(images)
        terms = {"ce": cross_entropy(taps["logits"], labels, self.class_weights)}
        terms |= {name: AUXILIARY[name](taps["logits"], labels) for name in self.label_terms[1:]}
        if self.method is not None:
            taught = self.teach(images) if teacher_logits is None else {"logits": teacher_logits}
            with torch.autocast(images.device.type, enabled=False):
                ours = {name: taps[name].float() for name in self.method.taps}
                # The only place where maps of different sizes meet: the student's size is used.
                theirs = {name: resized(taught[name].float(), ours[name]) for name in ours}
                terms |= self.method(ours, theirs, labels)
        return terms

    @torch.no_grad()  # not inference_mode: methods may multiply by the teacher's tensors
    def teach(self, images: Tensor) -> dict[str, Tensor]:
        """The teacher's taps of images [B, 3, H, W], in the current autocast precision."""
        taps: dict[str, Tensor] = self._teaching[0](images)
        return taps
