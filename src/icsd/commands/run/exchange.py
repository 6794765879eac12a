"""Pushes what a stage on another machine reads to DVC's remote, and lists it in a dvc.lock for the stage."""

from pathlib import PurePath
from typing import Any

from icsd.commands.run.graph import Graph, as_user_error
from icsd.errors import UserError


class Exchange:
    """DVC's default remote, between this checkout and the nodes.

    Args:
        graph: The stages; the caller holds the repository's lock.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._stages = {stage.addressing: stage for stage in graph.order}
        self._sent: set[str] = set()

    def send(self, stage: str) -> tuple[tuple[str, ...], bytes]:
        """Push the outputs of other stages that a stage reads.

        Returns:
            The names of those stages, and a dvc.lock with them.

        Raises:
            UserError: The remote does not accept them.
        """
        from dvc.stage.serialize import to_single_stage_lockfile
        from dvc.utils.serialize import dumps_yaml

        needs = self._graph.needs[self._stages[stage]]
        with as_user_error():
            for need in needs:
                if need.addressing not in self._sent:
                    self._push(need)
                    self._sent.add(need.addressing)
            entries = {need.addressing: to_single_stage_lockfile(need) for need in needs}
        return tuple(entries), dumps_yaml({"schema": "2.0", "stages": entries}).encode()

    def runs(self) -> dict[str, str]:
        """Stage that trains a network -> prefix of its state folder's name (``RunKey.state``)."""
        found = {}
        for name, stage in self._stages.items():
            for out in stage.outs:
                kind, *parts = PurePath(out.def_path).parts
                if kind == "runs":
                    found[name] = "-".join(parts)
        return found

    def _push(self, stage: Any) -> None:  # noqa: ANN401 - DVC's
        for objects in stage.get_used_objs().values():
            if failed := self._graph.repo.cloud.push(objects).failed:
                raise UserError(
                    f"{len(failed)} files of {stage.addressing} cannot be pushed to DVC's remote; "
                    "`dvc push` says why"
                )
