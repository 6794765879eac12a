"""Results of networks that differ by chance only, in memory: any established difference is an error."""

import numpy as np
from numpy.typing import NDArray

from icsd.core.metrics import iou_per_class, mean_iou
from icsd.records import MetricsRecord
from icsd.reporting.results import ALONE, Results, Run


def chance_results(
    random: np.random.Generator,
    *,
    num_methods: int,
    num_seeds: int,
    of_seeds: float,
    of_images: float,
    num_images: int = 50,
    per_clip: int = 1,
    gains: tuple[float, ...] = (),
) -> Results:
    """A grid of the student alone and other methods on two classes of equal size.

    The logit of a network's pixel accuracy in an image is the sum of three parts: one of its training; one of
    method and clip, which all its seeds share; and the image's own, which all networks share.

    Args:
        random: Random number generator.
        num_methods: Number of methods, including the student alone.
        num_seeds: Number of seeds per method.
        of_seeds: Standard deviation of the part of the training.
        of_images: Standard deviation that the part of method and clip leaves in the mean over all images.
        num_images: Number of images in the reported split.
        per_clip: Number of consecutive images that share the part of method and clip.
        gains: Each method's logit minus that of the student alone; empty if all methods are equal.
    """
    methods = (ALONE, *(f"m{index}" for index in range(1, num_methods)))
    num_clips = num_images // per_clip
    shared = random.normal(0, 0.5, (1, 1, num_images))
    own = np.repeat(
        random.normal(0, of_images * np.sqrt(num_clips), (num_methods, 1, num_clips)), per_clip, 2
    )
    seeds = random.normal(0, of_seeds, (num_methods, num_seeds, 1))
    above = np.zeros(num_methods) if not gains else np.array((0.0, *gains))
    share = 1 / (1 + np.exp(-(0.8 + shared + own + seeds + above[:, None, None])))
    ids = tuple(f"clip{index // per_clip}_{index:04d}" for index in range(num_images))
    hits = np.rint(10_000 * share).astype(np.int64)
    runs = {
        ("resnet18", method, seed): _run(method, "resnet18", seed, hits[row, seed], ids)
        for row, method in enumerate(methods)
        for seed in range(num_seeds)
    }
    teacher = _run("teacher", "resnet50", 0, np.full(num_images, 9_000), ids)
    return Results("chance", methods, ("resnet18",), tuple(range(num_seeds)), teacher, runs)


def _run(method: str, network: str, seed: int, hits: NDArray[np.int64], ids: tuple[str, ...]) -> Run:
    confusion = np.stack([np.stack([hits, 10_000 - hits], 1), np.stack([10_000 - hits, hits], 1)], 1)
    total = confusion.sum(axis=0)
    metrics = MetricsRecord.model_validate(
        {
            "schema": 1,
            "dataset": "chance",
            "method": method,
            "student": network,
            "seed": seed,
            "split": "test",
            "num_images": len(hits),
            "classes": ("one", "two"),
            "miou": mean_iou(total),
            "pixel_accuracy": 0.5,
            "class_accuracy": 0.5,
            "iou_per_class": tuple(iou_per_class(total)),
            "absent_classes": (),
            "agreement": None,
            "parameters": 1,
            "flops": None,
            "flops_input": None,
            "weights_sha256": "0" * 64,
            "teacher_sha256": None,
        }
    )
    return Run(method, network, seed, metrics, None, None, None, confusion, ids, None, None)
