"""Decides which stages may start: those whose needs are all done."""

from collections.abc import Hashable, Iterable, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

Node = TypeVar("Node", bound=Hashable)


class State(StrEnum):
    """State of a stage in an execution."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """A stage that it needs has failed."""


class Schedule(Generic[Node]):
    """The states of all stages of an execution.

    Args:
        order: All stages, each after those that it needs.
        needs: Stage -> stages that must be done before it starts. Stages outside ``order`` are ignored.
        urgency: Stage -> its priority among those that may start; ties follow the order.
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
        """Stages that may start, by descending urgency."""
        found = [
            node
            for node, state in self.states.items()
            if state == State.WAITING and all(self.states[other] == State.DONE for other in self._needs[node])
        ]
        return sorted(found, key=lambda node: -self._urgency.get(node, 0.0))

    def start(self, node: Node) -> None:
        """Mark a stage as running."""
        self.states[node] = State.RUNNING

    def finish(self, node: Node) -> None:
        """Mark a stage as done: it ran, or nothing had changed."""
        self.states[node] = State.DONE

    def fail(self, node: Node) -> list[Node]:
        """Mark a stage as failed; returns the stages that are skipped since they need it, even indirectly."""
        self.states[node] = State.FAILED
        skipped = []
        for other in self.states:  # in order, so the stages that it needs were visited
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
