"""How a student's step time grows with the number of classes, with either form of cross-entropy."""

from collections.abc import Callable
from functools import partial

import torch
from measuring import asked_for_quick, interleaved, section
from torch import Tensor, nn

from icsd.core.labels import IGNORE
from icsd.core.logits import upsample
from icsd.core.tiled_cross_entropy import tiled_cross_entropy
from icsd.models.deeplab import build_network

Loss = Callable[[Tensor, Tensor], Tensor]
CASES = (((2, 9, 21, 59, 150, 171), 64, 8), ((2, 21, 150), 256, 2))
QUICK = (((2, 22), 32, 2),)


def main() -> None:
    """Measure and print the section."""
    quick = asked_for_quick()
    torch.set_num_threads(1)
    rows: list[list[object]] = []
    for classes, side, batch in QUICK if quick else CASES:
        calls: dict[str, Callable[[], object]] = {}
        for number in classes:
            calls |= steps(number, side, batch)
        seconds = interleaved(calls, rounds=1 if quick else 5)
        for number in classes:
            whole, tiled, ce_whole, ce_tiled = (
                1e3 * seconds[f"{kind} {number}"] for kind in ("step whole", "step tiled", "whole", "tiled")
            )
            # The form that cross_entropy uses for this many classes, relative to the step with the fewest.
            taken = tiled if number > 21 else whole
            first = 1e3 * seconds[f"step whole {classes[0]}"]
            rows.append(
                [
                    f"{side}×{side}, batch {batch}, {number} classes",
                    f"{ce_whole:.1f}",
                    f"{ce_tiled:.1f}",
                    f"{ce_whole / ce_tiled:.1f}×",
                    f"{whole:.0f}",
                    f"{tiled:.0f}",
                    f"{whole / first:.2f}×",
                    f"{taken / first:.2f}×",
                ]
            )
    header = ["size", "cross-entropy, whole, ms", "tiled, ms", "ratio", "step, whole, ms", "step, tiled, ms"]
    print(
        section(
            "Growth with classes",
            "Cross-entropy with its gradient, and a training step of a student with it (ResNet-18, width "
            "0.25), with logits upsampled as a whole or tile by tile. Growth is relative to the step with "
            "the fewest classes. Training uses the tiled form from 22 classes on.",
            [*header, "growth, whole", "growth, as used"],
            rows,
        )
    )


def steps(classes: int, side: int, batch: int) -> dict[str, Callable[[], object]]:
    """Four functions: the loss alone and a student's step with it, for both forms."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, side, side, generator=generator)
    labels = torch.randint(classes, (batch, side, side), generator=generator)
    labels[:, :2] = IGNORE
    network = build_network("resnet18", num_classes=classes, width=0.25)
    logits = torch.randn(batch, classes, side // 4, side // 4, generator=generator).requires_grad_()
    calls: dict[str, Callable[[], object]] = {}
    for name, loss in (("whole", whole), ("tiled", tiled)):
        calls[f"{name} {classes}"] = partial(alone, loss, logits, labels)
        calls[f"step {name} {classes}"] = partial(step, loss, network, images, labels)
    return calls


def whole(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed cross-entropy of logits that are upsampled as a whole."""
    return nn.functional.cross_entropy(
        upsample(logits, labels.shape[-2:]), labels, ignore_index=IGNORE, reduction="sum"
    )


def tiled(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed cross-entropy, tile by tile."""
    return tiled_cross_entropy(logits, labels, None)


def alone(loss: Loss, logits: Tensor, labels: Tensor) -> None:
    """The loss and its gradient."""
    torch.autograd.grad(loss(logits, labels), logits)


def step(loss: Loss, network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """A student's forward and backward pass."""
    loss(network(images)["logits"], labels).backward()  # type: ignore[no-untyped-call]
    network.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main()
