"""Supervision beyond plain cross-entropy: class weights, Dice and Lovász-Softmax.

All of it is off in the presets. Both losses are means over the classes present in the batch's labels. A class
that is only predicted counts through the classes whose pixels it takes.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Integer
from numpy.typing import NDArray
from torch import Tensor

from icsd.core.labels import IGNORE
from icsd.core.logits import told, upsample
from icsd.core.pieces import gathered, summed


def class_weights(
    kind: Literal["median", "inverse_log"], pixels: NDArray[np.int64], around: NDArray[np.int64]
) -> Float[Tensor, " C"]:
    """Class weights for cross-entropy, from how often each class is labelled.

    ``median``: the median frequency divided by the class's own, where a frequency is the class's share of the
    labelled pixels in images that show it (Eigen and Fergus, arXiv 1411.4734). ``inverse_log``:
    1 / log(1.02 + p) with p the class's share of all labelled pixels (Paszke et al., ENet, arXiv 1606.02147).
    Under ``median`` a class without pixels has no frequency: it gets weight 0, which no pixel uses, and is
    left out of the median.

    Args:
        kind: Which formula.
        pixels: [C], pixels labelled with the class.
        around: [C], all labelled pixels of the images that show the class.

    Returns:
        Weights [C], float32.
    """
    if kind == "inverse_log":
        weights = 1 / np.log(1.02 + pixels / max(int(pixels.sum()), 1))
    else:
        present = pixels > 0
        weights = np.zeros(len(pixels))
        frequencies = pixels[present] / around[present]
        if len(frequencies):
            weights[present] = np.median(frequencies) / frequencies
    return torch.tensor(weights, dtype=torch.float32)


def dice_loss(logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Soft Dice loss with squared denominators: mean of 1 − 2 Σ p g / (Σ p² + Σ g²) over present classes.

    Milletari et al. (V-Net, 3DV 2016, arXiv 1606.04797). The sums run over the labelled pixels of the whole
    batch, at the labels' resolution, in at least float32; 0 if every pixel is ignored.
    """
    with torch.autocast(logits.device.type, enabled=False):
        probabilities, truth = _labelled(logits, labels)
        overlap = summed(2 * (probabilities * truth).sum(dim=0))
        size = summed(probabilities.square().sum(dim=0) + truth.sum(dim=0))
        present = summed(truth.sum(dim=0)) > 0
        losses = torch.where(present, 1 - overlap / size.where(present, 1), 0)
        return losses.sum() / present.sum().clamp(min=1)


def lovasz_loss(logits: Float[Tensor, "B C h w"], labels: Integer[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Lovász-Softmax loss: the convex extension of 1 − IoU, averaged over present classes.

    Algorithm 1 of Berman et al. (CVPR 2018, arXiv 1705.08790), over the labelled pixels of the whole batch,
    at the labels' resolution, in at least float32; 0 if every pixel is ignored.
    """
    with torch.autocast(logits.device.type, enabled=False):
        probabilities, truth = _labelled(gathered(logits), gathered(labels))
        present = truth.any(dim=0).nonzero().flatten().tolist()
        losses = [_lovasz_of_class(probabilities[:, index], truth[:, index]) for index in present]
        return torch.stack(losses).mean() if losses else probabilities.sum()


def _lovasz_of_class(probability: Float[Tensor, " N"], truth: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """Errors, sorted in descending order, times the increase of the Jaccard loss at each of them."""
    errors, order = (truth - probability).abs().sort(descending=True)
    sorted_truth = truth[order]
    count = truth.sum()
    intersection = count - sorted_truth.cumsum(0)
    union = count + (1 - sorted_truth).cumsum(0)
    jaccard = 1 - intersection / union
    steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return torch.dot(errors, steps)


def _labelled(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and one-hot labels of the pixels that are not ignored, both [N, C]."""
    full = upsample(logits if logits.dtype == torch.float64 else logits.float(), labels.shape[-2:])
    valid = told(labels) != IGNORE
    probabilities = full.softmax(dim=1).movedim(1, -1)[valid]
    classes = torch.arange(logits.shape[1], device=logits.device)
    return probabilities, (labels[valid][:, None] == classes).to(probabilities.dtype)


AUXILIARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"dice": dice_loss, "lovasz": lovasz_loss}
"""The values of ``auxiliary_loss``, which are also the names of the loss terms."""
