"""The blocks ``teacher`` and ``train``: how a network is trained."""

from typing import Annotated, Literal

from pydantic import Field

from icsd.params.block import Block, Count, NonNegative, Seed, Weight


class Training(Block):
    """Training images, losses against the labels, the optimiser, and which epoch's weights are kept."""

    subset: Count | Literal["all"]
    epochs: Count
    batch: Annotated[int, Field(ge=1, le=65_536)]
    sync_batchnorm: bool
    class_weights: Literal["none", "median", "inverse_log"]
    auxiliary_loss: Literal["none", "dice", "lovasz"]
    auxiliary_weight: Weight
    optimizer: Literal["sgd", "adamw"]
    lr: Annotated[float, Field(gt=0, le=1e30)]  # times head_lr_factor, it must fit a float32
    head_lr_factor: Annotated[float, Field(gt=0, le=1000)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: Annotated[float, Field(ge=0, le=1000)]
    poly_power: Annotated[float, Field(ge=0, le=1000)]
    warmup_epochs: NonNegative
    clip_norm: NonNegative
    validate_every: Count
    select: Literal["last", "best_val"]

    @property
    def label_terms(self) -> dict[str, float]:
        """The weight of the auxiliary loss against the labels; empty if there is none."""
        return {} if self.auxiliary_loss == "none" else {self.auxiliary_loss: self.auxiliary_weight}


class TeacherTraining(Training):
    """The teacher's training, with its own seed; with ``train: false`` its weights are used unchanged."""

    train: bool
    seed: Seed


class StudentTraining(Training):
    """Every student's training, whatever its method.

    Attributes:
        unlabelled: Number of images beyond ``subset`` that are used without their labels, as half of every
            batch. From them a student learns only what the teacher predicts.
        budget: What all methods have in common: the number of epochs, or the training time.
    """

    unlabelled: Annotated[int, Field(ge=0, le=10**9)] | Literal["all"]
    budget: Literal["epochs", "seconds"]


class PacedTraining(StudentTraining):
    """The training of one method's students under ``budget: seconds``; params.yaml never holds it.

    Attributes:
        pace: Duration of a step relative to that of the student alone; ``epochs`` is reduced accordingly.
        epochs_alone: The epochs of params.yaml, which are those of the student alone. In no dump: they do not
            determine a network.
    """

    pace: Annotated[float, Field(ge=1)]
    epochs_alone: Annotated[Count, Field(exclude=True)]
