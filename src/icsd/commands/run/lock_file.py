"""dvc.lock: the same bytes as if the stages had run one after the other.

DVC reads, parses and writes the whole file after every stage, which for 98 stages takes longer than
everything else it does. Here what is done is noted together, when there is nothing better to do. New
entries stand in the order in which ``dvc repro`` would have run their stages: one that is done early waits
in memory for those before it. A kill loses nothing by that, because the run cache has the results; a stage
that the run cache cannot hold does not wait.
"""

import time

from icsd.commands.run.graph import Graph, Stage

_SHARE = 0.1
"""Of the time that may go into writing the file while stages run."""


class LockFile:
    """What is to be noted in dvc.lock.

    Args:
        graph: Whose order counts.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._settled: dict[Stage, bool] = {}
        self._noted: set[Stage] = set()
        self._known = graph.noted()
        self._is_arranged = True
        self._cost = 0.0
        self._last = time.monotonic()

    def settle(self, stage: Stage, *, changed: bool) -> None:
        """A stage is decided: done and to be noted where ``changed``, or as it was, failed or skipped."""
        self._settled[stage] = changed

    def is_pending(self) -> bool:
        """Whether anything can be noted."""
        return bool(self._ready())

    def is_due(self) -> bool:
        """Whether it is time to write, though there is other work."""
        return time.monotonic() - self._last > self._cost / _SHARE

    def write(self, *, last: bool = False) -> None:
        """Note what can be noted; the repository is locked.

        Args:
            last: Nothing comes after this.
        """
        begin = time.monotonic()
        ready = self._ready()
        if ready:
            self._graph.note(ready)
            self._noted |= set(ready)
        if last and not self._is_arranged:
            self._graph.arrange([stage for stage in self._graph.order if stage not in self._known])
        self._cost, self._last = time.monotonic() - begin, time.monotonic()

    def _ready(self) -> list[Stage]:
        """Stages to be noted now, in order."""
        ready, in_order = [], True
        for stage in self._graph.order:
            in_order = in_order and stage in self._settled
            if not self._settled.get(stage) or stage in self._noted:
                continue
            if in_order or stage in self._known or not self._graph.has_run_cache(stage):
                ready.append(stage)
                self._is_arranged = self._is_arranged and (in_order or stage in self._known)
        return ready
