"""Channel statistics for normalising a network's input."""

Statistics = tuple[float, float, float]
"""One value each for red, green and blue, for pixel values in [0, 1]."""

IMAGENET_MEAN: Statistics = (0.485, 0.456, 0.406)
IMAGENET_STD: Statistics = (0.229, 0.224, 0.225)
