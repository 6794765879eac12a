"""The admission test of a teacher that is not trained here: whether it is worth learning from."""

from collections.abc import Callable, Mapping, Sequence
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
from icsd.core.logits import upsample
from icsd.core.metrics import mean_iou
from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.data.loaders import EvalBatches
from icsd.data.prepared import TRAIN, VALIDATION
from icsd.data.subsets import chosen_images
from icsd.data.transforms import prepare
from icsd.errors import UserError, some
from icsd.models.contract import Network
from icsd.records import Record
from icsd.stages.own_weights import class_map_in
from icsd.stages.training.process import Run

MOST_IMAGES = 100
"""Images that a teacher is tried on: enough to tell, in seconds."""
Pixels = Callable[[Tensor], Tensor]

SETTINGS = {
    "ImageNet's mean and standard deviation": "null",
    "0 to 1, without mean and standard deviation": "{mean: [0.0, 0.0, 0.0], std: [1.0, 1.0, 1.0]}",
    "0 to 255": "{mean: [0.0, 0.0, 0.0], std: [0.00392157, 0.00392157, 0.00392157]}",
    "(x - 127) / 128": "{mean: [0.498039, 0.498039, 0.498039], std: [0.501961, 0.501961, 0.501961]}",
}
"""What people train with -> its ``networks.teacher.normalisation``."""
BGR = "BGR instead of RGB"


class AdmissionRecord(Record):
    """runs/.../admission.json: what a teacher that is not trained here had to show.

    All are mIoU, fractions: of two that have learned nothing, the better (``chance``); in the order of
    classes that fits best; under the normalisations that people also use.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    split: str
    num_images: int = Field(gt=0)
    miou: float
    chance: float
    best_order: float
    normalisations: dict[str, float]


def admit(run: Run, network: Network) -> AdmissionRecord:
    """Try a teacher on validation images, or on training images where there are none.

    Args:
        run: The teacher's.
        network: The teacher; left in evaluation mode, on the run's device.

    Raises:
        UserError: It must not teach: what is wrong with it, and what to set.
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
    _refuse_another_normalisation(run, counts, others)
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
        normalisations={name: best_order(each).miou for name, each in others.items()},
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
    """Confusion counts [N, C, C] of images that are normalised in another way.

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
        prediction = upsample(logits, labels.shape[-2:]).argmax(1)
        counts.append(confusion_counts(prediction, labels, num_classes))
    return torch.stack(counts).cpu().numpy()


def _pixels(image: Tensor) -> Tensor:
    """From 0 to 255, of an image as networks see it."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (image * std + mean) * 255


def _as_imagenet(pixels: Tensor) -> Tensor:
    return _normalised(pixels, IMAGENET_MEAN, IMAGENET_STD)


def _normalised(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return (pixels / 255 - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def _other_normalisations(network: Network) -> dict[str, Pixels]:
    """What people also train with -> the network's input, from pixels [1, 3, H, W], RGB from 0 to 255.

    A network is given images normalised by ImageNet's statistics, and makes its own normalisation of them. So
    each of these is what it makes the other normalisation of.
    """
    mean, std = network.architecture.normalisation or (IMAGENET_MEAN, IMAGENET_STD)
    seen: dict[str, Pixels] = {
        "ImageNet's mean and standard deviation": _as_imagenet,
        "0 to 1, without mean and standard deviation": lambda pixels: pixels / 255,
        "0 to 255": lambda pixels: pixels,
        "(x - 127) / 128": lambda pixels: (pixels - 127) / 128,
    }
    spread, centre = (torch.tensor(values).view(1, 3, 1, 1) for values in (std, mean))

    def given(change: Pixels, pixels: Tensor) -> Tensor:
        return _as_imagenet(255 * (change(pixels) * spread + centre))

    others: dict[str, Pixels] = {name: partial(given, change) for name, change in seen.items()}
    if network.architecture.normalisation is None:
        del others["ImageNet's mean and standard deviation"]
    return others | {BGR: lambda pixels: _as_imagenet(pixels.flip(1))}


def _refuse_another_normalisation(
    run: Run, counts: NDArray[np.int64], others: Mapping[str, NDArray[np.int64]]
) -> None:
    name = max(others, key=lambda each: best_order(others[each]).miou)
    if clearly_better(counts, others[name]):
        advice = (
            f"set `networks.teacher.normalisation: {SETTINGS[name]}`"
            if name in SETTINGS
            else "reverse the input channels of its first convolution"
        )
        raise UserError(
            f"{_name(run)}: was trained on images that were normalised in another way: {name}. On these it "
            f"reaches mIoU {100 * best_order(others[name]).miou:.1f} %, and "
            f"{100 * best_order(counts).miou:.1f} % on images as it is given them: {advice}"
        )


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
