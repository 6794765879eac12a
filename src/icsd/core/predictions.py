"""The class of every pixel, without storing the upsampled logits of all classes."""

import torch
from torch import Tensor

from icsd.core.logits import upsample

_CACHED = 1 << 18
"""Values that are upsampled together on a CPU: 1 MB, which fits a core's cache."""
_RESIDENT = 1 << 28
"""The same on a GPU: 1 GB, because each call has a cost and memory is fast."""


def predicted_classes(logits: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    """The class with the largest logit, at ``size``; the first one in a tie.

    The same as ``upsample(logits, size).argmax(1)``, but several times as fast: logits that do not fit the
    cache are upsampled one class at a time.

    Args:
        logits: [B, C, h, w].
        size: (H, W).

    Returns:
        Class ids, int64 [B, H, W].
    """
    values = logits.shape[:2].numel() * size[0] * size[1]
    if values <= (_RESIDENT if logits.is_cuda else _CACHED):
        return upsample(logits, size).max(1).indices  # argmax takes ten times as long on a CPU
    best = upsample(logits[:, :1], size)
    classes = torch.zeros(best.shape, dtype=torch.int16, device=logits.device)
    for number in range(1, logits.shape[1]):
        value = upsample(logits[:, number : number + 1], size)
        classes.masked_fill_(value > best, number)
        torch.maximum(best, value, out=best)
    return classes[:, 0].long()
