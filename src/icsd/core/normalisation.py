"""What images are normalised with before a network sees them."""

Statistics = tuple[float, float, float]
"""Of red, green and blue, for pixel values in [0, 1]."""

IMAGENET_MEAN: Statistics = (0.485, 0.456, 0.406)
IMAGENET_STD: Statistics = (0.229, 0.224, 0.225)
