"""Processes that train one network together, over gloo: started once, and used by many tests."""

import multiprocessing
import os
from collections.abc import Callable
from typing import Any


class Ranks:
    """``number`` processes; ``ranks(2, f, …)`` calls ``f(fabric, …)`` in the first two of them at once."""

    def __init__(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends = []
        self._processes = []
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            self._ends.append(ours)
            self._processes.append(process)

    def __call__(self, world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function in the ranks; return each rank's result, or raise the error of one."""
        port = _free_port()
        for rank in range(world):
            self._ends[rank].send((function, arguments, rank, world, port))
        answers = []
        for end in self._ends[:world]:
            assert end.poll(120), "a rank does not answer"
            answers.append(end.recv())
        for rank, (fine, answer) in enumerate(answers):
            assert fine, f"rank {rank} of {world}:\n{answer}"
        return [answer for _, answer in answers]

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            end.send(None)
        for process in self._processes:
            process.join(10)
            process.kill()


def _serve(end: Any) -> None:
    import traceback

    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    while order := end.recv():
        function, arguments, rank, world, port = order
        try:
            answer = True, function(_fabric(rank, world, port), *arguments)
        except BaseException:
            answer = False, traceback.format_exc()
        if dist.is_initialized():
            dist.destroy_process_group()
        end.send(answer)


def _fabric(rank: int, world: int, port: int) -> Any:
    """A Fabric as ``icsd.stages.training.process`` starts it, in a process that was started externally."""
    from lightning_fabric import Fabric

    from icsd.stages.training.process import strategy_for

    place = {"LOCAL_RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": world, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
    fabric = Fabric(accelerator="cpu", devices=world, strategy=strategy_for(world))
    fabric.launch()
    return fabric


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
