"""dvc.lock: the same bytes as if the stages had run one after the other.

DVC reads, parses and writes the whole file after every stage, which for 98 stages takes longer than
everything else it does. Here finished stages are written together, when there is nothing else to do. New
entries have the order in which ``dvc repro`` would have run their stages: a stage that finishes early waits
in memory for those before it. A kill loses nothing by that, because the run cache has the results; a stage
that the run cache cannot hold does not wait.
"""

import time

from icsd.commands.run.graph import Graph, Stage

_SHARE = 0.1
"""Largest share of the time that goes into writing the file while stages run."""


class LockFile:
    """The stages to be written to dvc.lock.

    Args:
        graph: The stages, in the order of their entries.
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
        """Settle a stage: done and to be written if ``changed``, otherwise up to date, failed or skipped."""
        self._settled[stage] = changed

    def is_pending(self) -> bool:
        """Whether any stage can be written now."""
        return bool(self._ready())

    def is_due(self) -> bool:
        """Whether it is time to write even though there is other work."""
        return time.monotonic() - self._last > self._cost / _SHARE

    def write(self, *, last: bool = False) -> None:
        """Write the stages that can be written now; the repository is locked.

        Args:
            last: Whether this is the last call.
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
        """Stages that can be written now, in order."""
        ready, in_order = [], True
        for stage in self._graph.order:
            in_order = in_order and stage in self._settled
            if not self._settled.get(stage) or stage in self._noted:
                continue
            if in_order or stage in self._known or not self._graph.has_run_cache(stage):
                ready.append(stage)
                self._is_arranged = self._is_arranged and (in_order or stage in self._known)
        return ready
