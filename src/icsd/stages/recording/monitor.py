"""Builds a training's monitor from the block ``monitor`` of params.yaml. It cannot change a result."""

from functools import partial
from itertools import islice
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from icsd.data.loaders import EvalBatches
from icsd.data.prepared import TRAIN, VALIDATION, PreparedData
from icsd.data.transforms import prepare
from icsd.models.weights import load_network
from icsd.monitoring.monitor import OnSimilarity, StudentMonitor
from icsd.monitoring.probe import SimilarityProbe
from icsd.params import Params
from icsd.training.loop import Schedule


def student_monitor(
    params: Params,
    fabric: Fabric,
    *,
    student: nn.Module,
    teacher: nn.Module | None,
    teacher_weights: Path,
    data: PreparedData,
    schedule: Schedule,
    on_similarity: OnSimilarity,
) -> StudentMonitor:
    """The monitor of a student's training.

    Args:
        params: The whole parameter tree.
        fabric: Devices and ranks; only the first rank measures the similarity.
        student: The network that is trained.
        teacher: The network that teaches it; None for the student alone.
        teacher_weights: The teacher's weights; the student alone is compared with it, too, though it never
            learns from it.
        data: Similarity is measured on its validation images, which are neither trained on nor reported; on
            training images if there are none.
        schedule: The schedule of the training.
        on_similarity: Called with each measurement.

    Raises:
        UserError: The teacher's weights or the images are damaged.
    """
    settings = params.monitor
    probe = None
    if settings.similarity_every and fabric.is_global_zero:
        if teacher is None:
            teacher = load_network(teacher_weights).to(fabric.device).eval()
        split = data.split(VALIDATION if data.has_validation else TRAIN)
        batches = EvalBatches(split, partial(prepare, input_scale=params.images.input_scale))
        images = islice(batches, settings.similarity_images)
        ids = split.ids[: settings.similarity_images]
        probe = SimilarityProbe(images, ids=ids, teacher=teacher, device=fabric.device)
    return StudentMonitor(
        student,
        epochs=schedule.epochs,
        steps=schedule.steps,
        health_steps=settings.health_steps,
        probe=probe,
        similarity_every=settings.similarity_every,
        on_similarity=on_similarity,
    )
