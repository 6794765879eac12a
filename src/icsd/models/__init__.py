"""Networks: DeepLabV3+ on dilated torchvision backbones."""

from icsd.models.backbones import BACKBONES
from icsd.models.deeplab import Architecture, DeepLabV3Plus, build_network
from icsd.models.imagenet import load_imagenet

__all__ = ["BACKBONES", "Architecture", "DeepLabV3Plus", "build_network", "load_imagenet"]
