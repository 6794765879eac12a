"""Bootstrap resamples of the test images, and the mIoU of a network on each of them."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from icsd.core.seeds import seed_at
from icsd.errors import UserError

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


def image_weights(num_images: int, *, resamples: int, seed: int) -> Values:
    """How often each image is in each resample, [resamples, images]; rows sum to ``num_images``."""
    generator = np.random.default_rng(seed_at(seed, "bootstrap", "images"))
    weights = generator.multinomial(num_images, np.full(num_images, 1 / num_images), size=resamples)
    return weights.astype(np.float64)


def clip_weights(clips: Sequence[str], *, resamples: int, seed: int) -> Values:
    """How often each image is in each resample, [resamples, images], where whole clips are drawn.

    Frames of a clip resemble each other, so clips, not frames, are the independent units.

    Args:
        clips: The clip of every image.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """
    names, clip_of = np.unique(np.asarray(clips), return_inverse=True)
    return image_weights(len(names), resamples=resamples, seed=seed)[:, clip_of]


def clips_of(ids: Sequence[str], pattern: str) -> list[str]:
    """The clip of every image: the part of its name that the pattern matches at the start.

    Raises:
        UserError: The pattern does not match the start of a name.
    """
    found = [re.match(pattern, name) for name in ids]
    for name, match in zip(ids, found, strict=True):
        if not match or not match[0]:
            raise UserError(
                f"report.clips: {pattern!r} does not match the start of the image name {name!r}; "
                "give the pattern of a clip's name, or none where images are independent"
            )
    return [match[0] for match in found if match]


def weights_for(
    ids: Sequence[str], *, resamples: int, seed: int, clips: str | None
) -> tuple[Values, int | None]:
    """How often each image is in each resample, [resamples, images], and how many clips are drawn.

    Args:
        ids: Names of the images.
        resamples: Number of resamples.
        seed: Seed of the draws.
        clips: Pattern of the clip's name at the start of an image's name; None if images are independent,
            in which case the number of clips is None too.

    Raises:
        UserError: The pattern does not match an image's name.
    """
    if clips is None:
        return image_weights(len(ids), resamples=resamples, seed=seed), None
    of_images = clips_of(ids, clips)
    return clip_weights(of_images, resamples=resamples, seed=seed), len(set(of_images))


def resampled_miou(confusion: Counts, weights: Values) -> Values:
    """The mIoU of each resample, [resamples], from the summed confusion matrices of its images.

    Args:
        confusion: [images, C, C], one matrix per image, rows = truth.
        weights: [resamples, images] from :func:`image_weights`.
    """
    return _mean_iou(_resampled_margins(confusion, weights))


def resampled_iou(confusion: Counts, weights: Values) -> Values:
    """The IoU of each class in each resample, [resamples, C]; NaN where a resample has no pixel of it."""
    margins = _resampled_margins(confusion, weights)
    hits, truth, predicted = margins[..., 0, :], margins[..., 1, :], margins[..., 2, :]
    return np.divide(hits, truth + predicted - hits, out=np.full_like(hits, np.nan), where=truth > 0)


def _resampled_margins(confusion: Counts, weights: Values) -> Values:
    """The margins of each resample, [resamples, 3, C]."""
    # IoU needs three margins per class, not C² counts; the sums are integers below 2**53, so float64 is exact
    # and the result does not depend on the order in which a matrix product adds.
    num_images, num_classes = confusion.shape[:2]
    margins = _margins(confusion).reshape(num_images, 3 * num_classes).astype(np.float64)
    return (weights @ margins).reshape(-1, 3, num_classes)


def _margins(confusion: Counts) -> Counts:
    """Hits, truth and prediction counts of each class, [..., 3, C]."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.stack([hits, confusion.sum(axis=-1), confusion.sum(axis=-2)], axis=-2)


def _mean_iou(margins: Values) -> Values:
    """The mIoU, [...], from margins [..., 3, C], over the classes that occur in the truth."""
    hits, truth, predicted = margins[..., 0, :], margins[..., 1, :], margins[..., 2, :]
    occurs = truth > 0
    iou = np.divide(hits, truth + predicted - hits, out=np.zeros_like(hits), where=occurs)
    return np.asarray(iou.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1), dtype=np.float64)
