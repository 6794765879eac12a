"""One network to train: its name, and every number that determines it."""

from dataclasses import dataclass
from typing import Any, cast

import torch

from icsd.core.weighting import Alw
from icsd.params import Params, Training, digest_of
from icsd.records import Provenance
from icsd.runs import RunKey
from icsd.stages.grid import teacher_key

CHECKPOINT = "checkpoint.pt"
"""The file in a run's state folder from which an interrupted run resumes."""


@dataclass(frozen=True)
class Job:
    """One network to train.

    Attributes:
        params: The whole tree.
        key: Which network it is.
        training: Its block of the tree: ``teacher`` or ``train``.
        width: Of its backbone.
        block: The method's block, as it stands in params.yaml; without weights for the teacher.
        weights_source: Where the weights of the method's terms come from, in words; see
            ``icsd.stages.tuned_weights``.
    """

    params: Params
    key: RunKey
    training: Training
    width: float
    block: dict[str, Any]
    weights_source: str | None = None

    @property
    def alw(self) -> Alw | None:
        """The schedule of the terms' weights; None for a method without ALW, and for the teacher."""
        if self.key.is_teacher:
            return None
        schedule = self.params.methods[self.key.method].schedule(self.params.alw)
        return Alw(**schedule.model_dump()) if schedule else None

    @property
    def numbers(self) -> dict[str, Any]:
        """The parameter blocks that determine the network, as train.json holds them."""
        params = self.params
        numbers: dict[str, Any] = {
            "dataset": params.dataset,
            "data": params.data.model_dump(exclude={"source", "sources"}),
            "images": params.images.model_dump(),
            "network": {
                "backbone": self.key.network,
                "width": self.width,
                "output_stride": params.networks.output_stride,
                "pretrained": params.networks.pretrained,
            },
            "training": self.training.model_dump(),
            "seed": self.key.seed,
        }
        if not self.key.is_teacher:
            numbers["method"] = self.block
        if self.alw:
            numbers["alw"] = self.alw.as_dict()
        return numbers


def teacher_job(params: Params) -> Job:
    """The teacher that params.yaml describes."""
    width = params.networks.teacher.width
    return Job(params, teacher_key(params), params.teacher, width, {"alw": False, "weights": {}})


def student_job(params: Params, key: RunKey) -> Job:
    """A student whose method and backbone have their blocks in params.yaml."""
    width = params.networks.students[cast(Any, key.network)].width
    return Job(params, key, params.train, width, params.methods[key.method].block)


def identity_of(job: Job, provenance: Provenance) -> str:
    """Hash of all that determines a network: a run never resumes under other numbers, data or code."""
    runtime = job.params.runtime.model_dump(exclude={"workers", "compile"})
    return digest_of(
        {
            "numbers": job.numbers,
            "runtime": runtime,
            "provenance": provenance.model_dump(),
            "torch": torch.__version__,
        }
    )
