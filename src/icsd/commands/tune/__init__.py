"""Command ``tune``: the same search for the weights of every method, on the validation split.

One number is searched per method: a factor on all its weights. Otherwise a method with three terms would
need a larger search than one with a single term; the ratio of its terms is part of the method as published.
The factors are the same for all methods, evenly spaced on a logarithmic scale, and do not depend on earlier
trials: an adaptive sampler could learn little from so few trials, would follow the noise of single trainings,
and would search differently for each method.
"""
