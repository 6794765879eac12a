"""Predicted classes and confusion counts in evaluation, compared with full upsampling and numpy."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from measuring import asked_for_quick, interleaved, peak_megabytes, section
from torch import Tensor

from icsd.core.confusion import confusion_counts
from icsd.core.labels import IGNORE
from icsd.core.logits import upsample
from icsd.core.predictions import predicted_classes

CASES = ((64, 64, 9), (360, 480, 11), (1024, 2048, 19), (512, 512, 150))
QUICK = ((64, 64, 9), (400, 400, 3))
CPU = torch.device("cpu")


def main() -> None:
    """Measure and print the section."""
    quick = asked_for_quick()
    torch.set_num_threads(1)
    rows = [row(*case, rounds=1 if quick else 9) for case in (QUICK if quick else CASES)]
    print(
        section(
            "Evaluation of logits",
            "From logits at a quarter of the image size to the confusion counts of an image, excluding the "
            "network: `predicted_classes` and `confusion_counts`, against upsampling all classes, argmax, "
            "and a numpy histogram of labelled pixels. The counts are identical. The floor is the "
            "upsampling alone.",
            ["image, classes", "ms", "all at once, ms", "ratio", "floor, ms", "MB", "all at once, MB"],
            rows,
        )
    )


def row(height: int, width: int, classes: int, *, rounds: int) -> list[object]:
    """The row of one image size."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, classes, height // 4, width // 4, generator=generator)
    labels = torch.randint(classes, (1, height, width), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.05] = IGNORE
    ours, plain = partial(counted, logits, labels), partial(counted_at_once, logits, labels)
    assert np.array_equal(ours(), plain())
    calls: dict[str, Callable[[], object]] = {
        "ours": ours,
        "plain": plain,
        "floor": partial(upsample, logits, labels.shape[1:]),
    }
    seconds = interleaved(calls, rounds=rounds)
    memory = [peak_megabytes(call, CPU) for call in (ours, plain)]
    milliseconds = {name: 1e3 * value for name, value in seconds.items()}
    return [
        f"{width}×{height}, {classes}",
        f"{milliseconds['ours']:.2f}",
        f"{milliseconds['plain']:.2f}",
        f"{milliseconds['plain'] / milliseconds['ours']:.1f}×",
        f"{milliseconds['floor']:.2f}",
        *(f"{value:.1f}" for value in memory),
    ]


def counted(logits: Tensor, labels: Tensor) -> np.ndarray:
    """Confusion counts as the pipeline computes them."""
    prediction = predicted_classes(logits, labels.shape[1:])
    return confusion_counts(prediction, labels, logits.shape[1]).numpy()


def counted_at_once(logits: Tensor, labels: Tensor) -> np.ndarray:
    """Confusion counts as most code computes them."""
    classes = logits.shape[1]
    prediction = upsample(logits, labels.shape[1:]).argmax(1).numpy()
    truth = labels.numpy()
    valid = truth != IGNORE
    pairs = truth[valid] * classes + prediction[valid]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


if __name__ == "__main__":
    main()
