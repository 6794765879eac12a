"""Means over seeds, paired tests, intervals and groups, from plain numbers.

Two sources of variation are kept apart. *Training noise* is the spread over seeds: what mean ± std and the
paired t-test see. *The choice of test images* is what resampling the images adds. Every network is evaluated
on the same images, so images and seeds are crossed: a resample takes one set of images for all seeds and
methods, and seeds are paired on both sides of a difference.
"""
