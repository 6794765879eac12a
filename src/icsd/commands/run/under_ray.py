"""Stages as Ray tasks: Ray chooses their nodes, and restarts a task whose worker is lost."""

import logging
import os
import time
from pathlib import Path
from typing import Any

from icsd.commands.run import node
from icsd.commands.run.node import Assignment, Parcel
from icsd.errors import UserError, first_line
from icsd.params.cluster import Cluster

_GIGABYTE = 10**9


class UnderRay:
    """A running Ray cluster, of which this machine is a node.

    Args:
        parcel: What all stages need on a node.
        asked: The resources that a stage asks for.

    Raises:
        UserError: Ray is not installed, there is no cluster, or none of its nodes has the resources.
    """

    def __init__(self, parcel: Parcel, asked: Cluster) -> None:
        self._ray = ray = _connected()
        _check_room(ray.nodes(), asked)
        ray.cloudpickle.register_pickle_by_value(node)  # the nodes have no code of this project yet
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._logbook = (
            ray.remote(node.Logbook)
            .options(num_cpus=0, scheduling_strategy=here, max_concurrency=1)
            .remote(asked.retries + 1)
        )
        self._parcel = ray.put(parcel)
        self._work = ray.remote(
            num_cpus=asked.cpus,
            num_gpus=asked.gpus,
            memory=int(asked.memory * _GIGABYTE),
            max_retries=asked.retries,
            retry_exceptions=False,  # a stage is not retried because it fails, only because its worker dies
        )(node.work_under_ray)
        self._running: dict[Any, str] = {}

    def start(self, task: Assignment, log: Path) -> None:
        """Queue a stage; its output goes to ``log`` as it arrives."""
        reference = self._work.options(name=task.stage).remote(
            self._parcel, task, str(log.resolve()), self._logbook
        )
        self._running[reference] = task.stage

    def wait(self, seconds: float) -> list[tuple[str, int, str]]:
        """Stages that have ended; waits up to ``seconds`` for the first one."""
        if not self._running:
            time.sleep(seconds)
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [(self._running.pop(each), *self._outcome(each)) for each in ended]

    def cancel(self, *, at_once: bool) -> None:
        """End all stages."""
        for reference in self._running:
            self._ray.cancel(reference, force=at_once)

    def close(self) -> None:
        """Disconnect from the cluster."""
        self._ray.shutdown()

    def _outcome(self, reference: Any) -> tuple[int, str]:  # noqa: ANN401 - Ray's
        from ray import exceptions

        try:
            code, reason = self._ray.get(reference)
            return int(code), str(reason)
        except exceptions.TaskCancelledError:
            return 143, ""
        except exceptions.RayError as error:
            if isinstance(error.__cause__ or error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
                return 130, ""
            return 70, (
                f"Ray gave up on it: {first_line(error)}; the next attempt resumes where it finds the same "
                "scratch folder (cluster.scratch)"
            )


def _connected() -> Any:  # noqa: ANN401 - a module
    # Otherwise Ray would reinstall the project on every node, and report usage statistics.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # The default is 20 retries, each of which takes 40 s at a wrong address.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
    try:
        import ray
    except ImportError:
        raise UserError(
            "`--on ray` needs the extra `ray`: `uv sync --extra ray`, or `pip install ray`"
        ) from None
    try:
        ray.init(
            address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False, logging_level=logging.ERROR
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"no Ray cluster answers ({first_line(error)}); `ray start --head` makes this machine its first "
            "node (docs/cluster.md)"
        ) from None
    return ray


def _check_room(nodes: list[dict[str, Any]], asked: Cluster) -> None:
    """Refuse a task that no node can run: it would wait forever."""
    wanted = {"CPU": asked.cpus, "GPU": asked.gpus, "memory": asked.memory * _GIGABYTE}
    alive = [each["Resources"] for each in nodes if each["Alive"]]
    if not any(all(each.get(name, 0) >= amount for name, amount in wanted.items()) for each in alive):
        largest = "; ".join(
            f"{each.get('CPU', 0):g} CPUs, {each.get('GPU', 0):g} GPUs, "
            f"{each.get('memory', 0) / _GIGABYTE:.1f} GB"
            for each in alive
        )
        raise UserError(
            f"cluster: no node of the Ray cluster has {asked.cpus:g} CPUs, {asked.gpus:g} GPUs and "
            f"{asked.memory:g} GB of memory; its nodes have: {largest}"
        )
