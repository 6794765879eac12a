"""Means over seeds, intervals with their tests, and groups, from plain numbers.

Two sources of variation are kept apart. *Training noise* is the spread over seeds, which mean ± std shows.
*The choice of test images* is the variation that resampling the images adds. Every network is evaluated on
the same images, so images and seeds are crossed: a resample takes one set of images for all seeds and
methods, and seeds are paired on both sides of a difference.
"""
