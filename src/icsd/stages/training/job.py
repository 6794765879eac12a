"""One network to train: its name, and every number that determines it."""

from dataclasses import dataclass
from typing import Any

import torch

from icsd.core.weighting import Alw
from icsd.params import Params, Training, digest_of
from icsd.records import Provenance
from icsd.runs import RunKey
from icsd.stages.grid import teacher_key
from icsd.stages.inputs import numbers_of, schedule_of

CHECKPOINT = "checkpoint.pt"
"""The file in a run's state folder from which an interrupted run resumes."""
WITHOUT_EFFECT = {"mode", "workers", "compile", "teacher_cache", "teacher_cache_gb"}
"""Keys of ``runtime`` that change no result, except ``teacher_cache: float16``, which rounds logits."""


@dataclass(frozen=True)
class Job:
    """One network to train.

    Attributes:
        params: The whole parameter tree.
        key: Which network it is.
        training: Its block of the tree: ``teacher`` or ``train``.
        block: The method's block, as it stands in params.yaml; without weights for the teacher.
        weights_source: Where the weights of the method's terms come from, in words; see
            ``icsd.stages.chosen_weights``.
    """

    params: Params
    key: RunKey
    training: Training
    block: dict[str, Any]
    weights_source: str | None = None

    @property
    def training_block(self) -> str:
        """The name of ``training`` in the tree."""
        return "teacher" if self.key.is_teacher else "train"

    @property
    def alw(self) -> Alw | None:
        """The schedule of the terms' weights; None for a method without ALW, and for the teacher."""
        return schedule_of(self.params, self.key)

    @property
    def numbers(self) -> dict[str, Any]:
        """The parameters that determine the network, as train.json holds them."""
        return numbers_of(self.params, self.key)


def teacher_job(params: Params) -> Job:
    """The teacher that params.yaml describes."""
    return Job(params, teacher_key(params), params.teacher, {"alw": False, "weights": {}})


def student_job(params: Params, key: RunKey) -> Job:
    """A student whose method and backbone have their blocks in params.yaml."""
    return Job(params, key, params.train, params.methods[key.method].block)


def identity_of(job: Job, provenance: Provenance) -> str:
    """Hash of all that determines a network: a run never resumes with other numbers, data or code."""
    runtime = job.params.runtime.model_dump(exclude=WITHOUT_EFFECT)
    if job.training.sync_batchnorm:  # then another number of processes changes no more than rounding
        del runtime["devices"], runtime["num_nodes"]
    if job.params.runtime.teacher_cache == "float16":
        runtime["teacher_cache"] = "float16"
    return digest_of(
        {
            "numbers": job.numbers,
            "runtime": runtime,
            "provenance": provenance.model_dump(),
            "torch": torch.__version__,
        }
    )
