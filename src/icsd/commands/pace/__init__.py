"""``python -m pipeline pace``: how many times as long a training step takes with a method as without."""
