"""Validation between epochs: confusion counts summed over images that are never reported."""

import torch
from torch import Tensor, nn

from icsd.core.confusion import confusion_counts
from icsd.core.predictions import predicted_classes
from icsd.data.loaders import Images


@torch.no_grad()
def validation_confusion(
    network: nn.Module, images: Images, *, num_classes: int, device: torch.device
) -> Tensor:
    """Confusion counts [C, C] (rows: truth) summed over images; leaves the network in training mode."""
    network.eval()
    total = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
    for _, image, labels in images:
        labels = labels.to(device)
        prediction = predicted_classes(network(image.to(device))["logits"].float(), labels.shape[-2:])
        total += confusion_counts(prediction, labels, num_classes)
    network.train()
    return total
