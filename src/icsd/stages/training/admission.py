"""The admission test of a teacher that is not trained here: whether it is worth learning from."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Subset

from icsd.core.admission import CLEAR, Order, beats_chance, best_order, chance, clearly_better
from icsd.core.confusion import confusion_counts
from icsd.core.metrics import mean_iou
from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.core.predictions import predicted_classes
from icsd.data.loaders import EvalBatches
from icsd.data.prepared import TRAIN, VALIDATION
from icsd.data.subsets import chosen_images
from icsd.data.transforms import prepare
from icsd.errors import UserError, some
from icsd.models.contract import Network, Normalisation
from icsd.records import Record
from icsd.stages.own_weights import class_map_in
from icsd.stages.training.process import Run

MOST_IMAGES = 100
"""Largest number of images that a teacher is tested on: enough for a verdict, within seconds."""
Pixels = Callable[[Tensor], Tensor]

NORMALISATIONS = {
    "ImageNet's mean and standard deviation": (IMAGENET_MEAN, IMAGENET_STD),
    "0 to 1, without mean and standard deviation": ((0.0,) * 3, (1.0,) * 3),
    "0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
    "(x - 127) / 128": ((127 / 255,) * 3, (128 / 255,) * 3),
}
"""Common normalisations of the input: mean and standard deviation of pixel values in [0, 1]."""
BGR = "BGR instead of RGB"


class AdmissionRecord(Record):
    """runs/.../admission.json: the admission test of a teacher that is not trained here.

    All scores are mIoU, as fractions: ``chance`` is that of the better of two predictors that have learned
    nothing, ``best_order`` that of the best-fitting order of classes, and ``normalisations`` has those under
    other common normalisations.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    split: str
    num_images: int = Field(gt=0)
    miou: float
    chance: float
    best_order: float
    normalisations: dict[str, float]


def admit(run: Run, network: Network) -> AdmissionRecord:
    """Test a teacher on validation images, or on training images if there are none.

    Args:
        run: The teacher's run.
        network: The teacher; left in evaluation mode, on the run's device.

    Raises:
        UserError: The teacher is not admitted; the message says what is wrong and what to set.
    """
    split = VALIDATION if run.data.has_validation else TRAIN
    images = run.data.split(split)
    chosen = Subset(images, chosen_images(len(images), MOST_IMAGES))  # type: ignore[arg-type, var-annotated]
    prepared = partial(prepare, input_scale=run.job.params.images.input_scale)
    batches = EvalBatches(chosen, prepared)
    network.to(run.fabric.device).eval()
    trying = partial(_counts, network, batches, len(images.classes), run.fabric.device)
    counts = trying(_as_imagenet)
    if not counts.sum():
        raise UserError(f"{_name(run)}: no {split} image has a labelled pixel to try it on")
    others = {name: trying(change) for name, change in _other_normalisations(network).items()}
    order, miou = best_order(counts), mean_iou(counts.sum(0))
    reached = {name: best_order(each).miou for name, each in others.items()}
    best = max(reached, key=lambda name: reached[name])
    if clearly_better(counts, others[best]):
        raise UserError(_normalised_otherwise(run, best, reached[best], order.miou))
    if order.swapped:
        raise UserError(_swapped(run, images.classes, order, miou))
    if not beats_chance(counts):
        raise UserError(
            f"{_name(run)}: is not clearly better than chance on {len(chosen)} {split} images: mIoU "
            f"{100 * miou:.1f} %, and {100 * chance(counts.sum(0)):.1f} % needs no network (at least "
            f"{100 * CLEAR:g} points more are asked for). Is it a network for these images and classes?"
        )
    return AdmissionRecord(
        split=split,
        num_images=len(chosen),
        miou=miou,
        chance=chance(counts.sum(0)),
        best_order=order.miou,
        normalisations=reached,
    )


def in_words(record: AdmissionRecord) -> str:
    """The result as a line to print."""
    best = max(record.normalisations.values(), default=0.0)
    return (
        f"admitted: mIoU {100 * record.miou:.2f} % on {record.num_images} {record.split} images (chance "
        f"{100 * record.chance:.2f} %, best order of classes {100 * record.best_order:.2f} %, other "
        f"normalisations at most {100 * best:.2f} %)"
    )


@torch.no_grad()
def _counts(
    network: nn.Module, batches: EvalBatches, num_classes: int, device: torch.device, normalise: Pixels
) -> NDArray[np.int64]:
    """Confusion counts [N, C, C] on images that ``normalise`` turns from pixels into the network's input.

    Raises:
        UserError: Logits are not finite, or of another number of classes.
    """
    counts = []
    for _, image, labels in batches:
        labels = labels.to(device)
        logits = network(normalise(_pixels(image)).to(device))["logits"].float()
        if logits.shape[1] != num_classes:
            raise UserError(
                f"networks.teacher.weights: gives {logits.shape[1]} logits for {num_classes} classes; say in "
                "networks.teacher.classes which stands for which"
            )
        if not logits.isfinite().all():
            raise UserError("networks.teacher.weights: the network's logits are not finite on an image")
        prediction = predicted_classes(logits, labels.shape[-2:])
        counts.append(confusion_counts(prediction, labels, num_classes))
    return torch.stack(counts).cpu().numpy()


def _pixels(image: Tensor) -> Tensor:
    """Pixel values from 0 to 255 of an image that is normalised with ImageNet's statistics."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (image * std + mean) * 255


def _as_imagenet(pixels: Tensor) -> Tensor:
    return _normalised(pixels, (IMAGENET_MEAN, IMAGENET_STD))


def _normalised(pixels: Tensor, normalisation: Normalisation) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in normalisation)
    return (pixels / 255 - mean) / std


def _other_normalisations(network: Network) -> dict[str, Pixels]:
    """Name of another common normalisation -> function from pixels to the network's input.

    Pixels are [1, 3, H, W], RGB from 0 to 255. A network takes images normalised with ImageNet's statistics
    and converts them to its own normalisation. Each function therefore returns the input that the network
    converts to the other normalisation.
    """
    own = network.architecture.normalisation or (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in own)

    def given(normalisation: Normalisation, pixels: Tensor) -> Tensor:
        return _as_imagenet(255 * (_normalised(pixels, normalisation) * std + mean))

    others: dict[str, Pixels] = {
        name: partial(given, normalisation)
        for name, normalisation in NORMALISATIONS.items()
        if normalisation != own
    }
    return others | {BGR: lambda pixels: _as_imagenet(pixels.flip(1))}


def _normalised_otherwise(run: Run, name: str, theirs: float, ours: float) -> str:
    """The message about images with another normalisation, and how to set it."""
    advice = (
        f"set `networks.teacher.normalisation: {_setting(NORMALISATIONS[name])}`"
        if name in NORMALISATIONS
        else "reverse the input channels of its first convolution"
    )
    return (
        f"{_name(run)}: was trained on images that were normalised in another way: {name}. On these it "
        f"reaches mIoU {100 * theirs:.1f} %, and {100 * ours:.1f} % on images as it is given them: {advice}"
    )


def _setting(normalisation: Normalisation) -> str:
    """The value of ``networks.teacher.normalisation``, which is empty for ImageNet's."""
    if normalisation == (IMAGENET_MEAN, IMAGENET_STD):
        return "null"
    mean, std = ([float(f"{value:.6g}") for value in values] for values in normalisation)
    return f"{{mean: {mean}, std: {std}}}"


def _swapped(run: Run, classes: tuple[str, ...], order: Order, miou: float) -> str:
    """The message about classes in another order, with the map to set."""
    channels = class_map_in(run.job.params) or [(index,) for index in range(len(classes))]
    groups = {name: channels[column] for name, column in zip(classes, order.column, strict=True)}
    moved = [name for index, name in enumerate(classes) if order.column[index] != index]
    written = ", ".join(
        f"{_in_yaml(name)}: {group[0] if len(group) == 1 else list(group)}" for name, group in groups.items()
    )
    return (
        f"{_name(run)}: its classes are in another order: mIoU {100 * miou:.1f} %, and "
        f"{100 * order.miou:.1f} % in the order that fits (what moves: {some(moved, len(moved))}). "
        f"If that is so, set `networks.teacher.classes: {{{written}}}`"
    )


def _in_yaml(name: str) -> str:
    return name if name.replace(" ", "").replace("_", "").isalpha() else f"'{name}'"


def _name(run: Run) -> str:
    teacher = run.job.params.networks.teacher
    if teacher.weights is None:
        return f"networks.teacher.architecture: {teacher.library_name}"
    return f"networks.teacher.weights: {teacher.weights}"
