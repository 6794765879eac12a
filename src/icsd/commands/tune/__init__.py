"""Command ``tune``: the same search for the weights of every method, on the validation split.

One number is searched per method: the factor on all its weights. A method with three terms would otherwise
need, or get, a larger search than one with a single term; the ratio of its terms is part of the method as
published. The factors are the same for all methods, evenly spaced on a logarithmic scale, and do not depend
on earlier trials: a sampler that learns from its trials has little to learn from so few, would follow the
noise of single trainings, and would search differently for each method.
"""
