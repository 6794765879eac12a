"""Command ``run``: what is stale of DVC's graph, side by side.

``graph`` is all that DVC does, ``schedule`` says which stage may start, a *place* (``place``) executes a
stage's command, ``execution`` is the loop over the three, and ``screen`` or ``lines`` what a
person sees of it.
"""
