"""The blocks ``teacher`` and ``train``: how a network learns."""

from typing import Annotated, Literal

from pydantic import Field

from icsd.params.block import Block, Count, NonNegative, Seed, Weight


class Training(Block):
    """On which images, by which losses of labels, with which optimiser; and what becomes the result."""

    subset: Count | Literal["all"]
    epochs: Count
    batch: Annotated[int, Field(ge=1, le=65_536)]
    sync_batchnorm: bool
    class_weights: Literal["none", "median", "inverse_log"]
    auxiliary_loss: Literal["none", "dice", "lovasz"]
    auxiliary_weight: Weight
    optimizer: Literal["sgd", "adamw"]
    lr: Annotated[float, Field(gt=0, le=1e30)]  # times the factor below, still a float32
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
        """The weight of the loss that compares with the labels beside cross-entropy; empty without one."""
        return {} if self.auxiliary_loss == "none" else {self.auxiliary_loss: self.auxiliary_weight}


class TeacherTraining(Training):
    """The teacher's own training, from its own seed; without ``train`` its weights are used as they are."""

    train: bool
    seed: Seed


class StudentTraining(Training):
    """Every student's training, whatever its method.

    Attributes:
        unlabelled: Images beyond ``subset`` that are seen without their labels: half of every batch. What
            there is to learn from them is what the teacher says.
        budget: What is equal for all methods: the number of epochs, or the time that they take.
    """

    unlabelled: Annotated[int, Field(ge=0, le=10**9)] | Literal["all"]
    budget: Literal["epochs", "seconds"]


class PacedTraining(StudentTraining):
    """The training of one method's students under ``budget: seconds``; params.yaml never holds it.

    Attributes:
        pace: How many times as long a step takes as the student's alone; ``epochs`` are fewer for it.
    """

    pace: Annotated[float, Field(ge=1)]
