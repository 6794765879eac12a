"""What an execution would do, without doing it."""

from collections.abc import Iterator

from icsd.commands.run.durations import Durations
from icsd.commands.run.graph import Graph, Stage
from icsd.commands.run.outlook import in_words


def foretold(graph: Graph, durations: Durations, *, force: bool) -> Iterator[str]:
    """A line per stage that is stale or may become stale, and a last line with their numbers.

    Args:
        graph: The stages.
        durations: How long stages take.
        force: Whether all stages would run.

    Raises:
        Busy: Another DVC command is running.
    """
    stale: dict[Stage, str] = {}
    with graph.locked():
        for stage in graph.order:
            above = next((need for need in graph.needs[stage] if need in stale and not stage.frozen), None)
            if force or graph.is_stale(stage):
                stale[stage] = "runs"
            elif above is not None:
                stale[stage] = f"runs if {above.addressing} gives something else"
    for stage, word in stale.items():
        expected = durations.expected(stage.addressing)
        yield f"{stage.addressing}: {word}" + ("" if expected is None else f", about {in_words(expected)}")
    certain = sum(word == "runs" for word in stale.values())
    yield f"{certain} of {len(graph.order)} stages would run, {len(stale) - certain} more perhaps"
