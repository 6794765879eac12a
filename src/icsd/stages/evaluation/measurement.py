"""What networks are measured on, and the measurement of one network; nothing is written."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from icsd.core import metrics
from icsd.data.loaders import EvalBatches
from icsd.data.prepared import REPORT, PreparedData
from icsd.data.resizing import scaled_size
from icsd.data.shards import ShardedSplit
from icsd.data.transforms import prepare
from icsd.errors import UserError
from icsd.evaluation.measuring import Evaluated, Teacher, evaluate, evenly_spread
from icsd.files import sha256_of
from icsd.models.contract import Network
from icsd.models.cost import flops, parameters
from icsd.models.weights import load_network
from icsd.params import Params
from icsd.records import MetricsRecord
from icsd.runs import RunKey, data_folder
from icsd.stages.device import accelerator
from icsd.stages.grid import teacher_key
from icsd.stages.memory import keep_freed_memory

_TEACHER_BYTES = 512 * 2**20
"""For a teacher's logits. CamVid's 233 images at full size take 111 MB, Cityscapes' 500 would take 5 GB."""


@dataclass(frozen=True)
class Evaluation:
    """The reported split, opened once for every network that is measured on it.

    Attributes:
        root: The repository.
        params: The whole parameter tree.
        device: Where networks run.
        split: The images and labels as they are stored.
        batches: The same as networks see them.
        pictured: Indices of the images whose predictions are kept for the report's pictures.
        teacher: The teacher; None if the teacher itself is measured.
        teacher_sha256: Digest of the teacher's weights; None if the teacher itself is measured.
    """

    root: Path
    params: Params
    device: torch.device
    split: ShardedSplit
    batches: EvalBatches
    pictured: list[int]
    teacher: Teacher | None
    teacher_sha256: str | None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their ids."""
        return self.split.classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the split's first image, as networks see it."""
        height, width = self.split[0][1].shape
        return 3, *scaled_size((height, width), self.params.images.input_scale)


@dataclass(frozen=True)
class Measurement:
    """A network on the reported split: the content of metrics.json, and the arrays behind it."""

    network: Network
    record: MetricsRecord
    arrays: Evaluated


def open_evaluation(root: Path, params: Params, *, with_teacher: bool) -> Evaluation:
    """Open the reported split, and load the teacher if networks are to be compared with it.

    Raises:
        UserError: No data, no teacher, or no such device.
    """
    keep_freed_memory()
    torch.set_num_threads(params.runtime.threads)
    device = torch.device(accelerator(params.runtime))
    split = PreparedData(root / data_folder(params.dataset)).split(REPORT)
    batches = EvalBatches(
        split,
        partial(prepare, input_scale=params.images.input_scale),
        workers=params.runtime.workers,
        pin_memory=device.type == "cuda",
    )
    weights = root / teacher_key(params).weights if with_teacher else None
    return Evaluation(
        root=root,
        params=params,
        device=device,
        split=split,
        batches=batches,
        pictured=evenly_spread(params.evaluation.panels, len(split)),
        teacher=Teacher(load_network(weights).to(device).eval(), _TEACHER_BYTES) if weights else None,
        teacher_sha256=sha256_of(weights) if weights else None,
    )


def measure(evaluation: Evaluation, key: RunKey) -> Measurement:
    """Measure one network.

    Raises:
        UserError: The network is missing or damaged, or its predictions are not finite.
    """
    params, weights = evaluation.params, evaluation.root / key.weights
    network = load_network(weights).to(evaluation.device).eval()
    try:
        arrays = evaluate(
            network,
            evaluation.batches,
            num_classes=params.data.classes,
            temperature=params.evaluation.temperature,
            device=evaluation.device,
            teacher=evaluation.teacher,
            keep=frozenset(evaluation.pictured),
        )
        record = _record(evaluation, key, network, arrays, weights_sha256=sha256_of(weights))
    except ValidationError as error:
        if error.errors()[0]["type"] != "finite_number":
            raise
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        cause = "teacher.lr" if key.is_teacher else "train.lr or the weights of its losses"
        raise UserError(
            f"{key.title}: {field} is not a finite number, since the network's logits are not: lower {cause} "
            "and train it again"
        ) from error
    return Measurement(network, record, arrays)


def _record(
    evaluation: Evaluation, key: RunKey, network: Network, arrays: Evaluated, *, weights_sha256: str
) -> MetricsRecord:
    """The content of metrics.json; docs/results.md describes it."""
    params, classes, input_shape = evaluation.params, evaluation.classes, evaluation.input_shape
    total = arrays.confusion.sum(axis=0)
    iou = metrics.iou_per_class(total)
    return MetricsRecord(
        dataset=params.dataset,
        method=key.method,
        student=key.network,
        seed=key.seed,
        split=params.data.splits.report,
        num_images=len(evaluation.split),
        classes=classes,
        miou=metrics.mean_iou(total),
        pixel_accuracy=metrics.pixel_accuracy(total),
        class_accuracy=metrics.mean_class_accuracy(total),
        iou_per_class=tuple(None if np.isnan(value) else float(value) for value in iou),
        absent_classes=tuple(classes[index] for index in metrics.absent_classes(total)),
        agreement=arrays.agreement,
        parameters=parameters(network),
        flops=flops(network, input_shape),
        flops_input=input_shape,
        weights_sha256=weights_sha256,
        teacher_sha256=evaluation.teacher_sha256,
    )
