"""Command ``run``: executes the stale stages of DVC's graph in parallel.

``graph`` does what DVC does, ``schedule`` says which stage may start, a *place* (``place``) executes a
stage's command, ``execution`` is the loop over the three, and ``screen`` or ``lines`` displays it.
"""
