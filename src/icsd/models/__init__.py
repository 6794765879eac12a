"""Networks: DeepLabV3+ on dilated torchvision backbones."""
