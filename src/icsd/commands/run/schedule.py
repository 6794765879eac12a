"""Which stage may start: everything that it needs is done."""

from collections.abc import Hashable, Iterable, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


class State(StrEnum):
    """Of a stage in an execution."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """What it needs has failed."""


class Schedule(Generic[Node]):
    """The states of all stages of an execution.

    Args:
        order: All stages, each after what it needs.
        needs: Stage -> stages that must be done before it starts. Others than those in ``order`` do not
            count.
        urgency: Stage -> how early it is started among those that may start; the order decides between
            equals.
    """

    def __init__(
        self,
        order: Iterable[Node],
        needs: Mapping[Node, Iterable[Node]],
        urgency: Mapping[Node, float] | None = None,
    ) -> None:
        self.states: dict[Node, State] = dict.fromkeys(order, State.WAITING)
        self._needs = {node: {other for other in needs[node] if other in self.states} for node in self.states}
        self._urgency = urgency or {}

    def ready(self) -> list[Node]:
        """Stages that may start, the one to be started first at the front."""
        found = [
            node
            for node, state in self.states.items()
            if state == State.WAITING and all(self.states[other] == State.DONE for other in self._needs[node])
        ]
        return sorted(found, key=lambda node: -self._urgency.get(node, 0.0))

    def start(self, node: Node) -> None:
        """A stage runs."""
        self.states[node] = State.RUNNING

    def finish(self, node: Node) -> None:
        """A stage is done: it ran, or nothing had changed."""
        self.states[node] = State.DONE

    def fail(self, node: Node) -> list[Node]:
        """A stage has failed; returns those that are skipped for that, at whatever distance."""
        self.states[node] = State.FAILED
        skipped = []
        for other in self.states:  # in order: what it needs has been looked at
            lost = any(self.states[need] in {State.FAILED, State.SKIPPED} for need in self._needs[other])
            if lost and self.states[other] == State.WAITING:
                self.states[other] = State.SKIPPED
                skipped.append(other)
        return skipped

    def count(self, *states: State) -> int:
        """How many stages are in one of the states."""
        return sum(state in states for state in self.states.values())

    def nodes(self, state: State) -> list[Node]:
        """The stages in a state, in order."""
        return [node for node, its in self.states.items() if its == state]
