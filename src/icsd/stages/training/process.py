"""A job in this process: its devices, its data, and where its files are."""

import inspect
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from icsd.data.prepared import PreparedData
from icsd.params import Runtime
from icsd.records import Provenance
from icsd.runs import data_folder
from icsd.stages.device import accelerator
from icsd.stages.grid import teacher_key
from icsd.stages.memory import keep_freed_memory
from icsd.stages.provenance import provenance_of
from icsd.stages.trained import check_trained
from icsd.stages.training.job import CHECKPOINT, Job, identity_of
from icsd.stages.training.ranks import start_others


@dataclass(frozen=True)
class Run:
    """A job in this process.

    Attributes:
        root: The repository, below which the outputs are.
        job: What is trained.
        fabric: Devices and precision.
        data: What it is trained on.
        provenance: Digests of what determines the network in addition to the parameters.
        state: The folder with the state to resume from.
    """

    root: Path
    job: Job
    fabric: Fabric
    data: PreparedData
    provenance: Provenance
    state: Path

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that an interrupted run resumes from."""
        return self.state / CHECKPOINT

    @property
    def teacher_weights(self) -> Path:
        """The weights of the dataset's teacher."""
        return self.root / teacher_key(self.job.params).weights

    @property
    def weights(self) -> Path:
        """The weights that are the result."""
        return self.root / self.job.key.weights

    @property
    def folder(self) -> Path:
        """The folder of the weights, of history.csv, similarity.npz and train.json."""
        return self.root / self.job.key.folder

    @property
    def cost(self) -> Path:
        """The file with the cost of the training."""
        return self.root / self.job.key.cost


def start_run(root: Path, job: Job) -> Run:
    """Start the devices and open the data.

    Raises:
        UserError: There is no such device, the data are not prepared, or a student has no teacher, or one
            that is damaged.
    """
    keep_freed_memory()
    torch.set_num_threads(job.params.runtime.threads)
    fabric = _start_fabric(job.params.runtime)
    data = PreparedData(root / data_folder(job.params.dataset))
    if not job.key.is_teacher:
        check_trained(root, teacher_key(job.params))
    provenance = provenance_of(root, job.params, job.key, data=data)
    state = job.key.state(identity_of(job, provenance))
    return Run(root=root, job=job, fabric=fabric, data=data, provenance=provenance, state=state)


def strategy_for(processes: int) -> DDPStrategy | str:
    """The strategy with which this number of processes trains one network.

    DDP does not broadcast buffers in each step. The loop shares them after every epoch: nothing reads them
    earlier, and queues in buffers are large.
    """
    if processes == 1:
        return "auto"
    known = inspect.signature(DistributedDataParallel).parameters
    option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before 2.15
    options: dict[str, Any] = {option: False}
    return DDPStrategy(**options)


def _start_fabric(runtime: Runtime) -> Fabric:
    several = runtime.devices not in (1, "auto") or runtime.num_nodes > 1
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # or every process announces itself
    with warnings.catch_warnings():
        # Fabric warns if SLURM is installed, but one process on one device needs no `srun`.
        warnings.filterwarnings("ignore", message="The `srun` command")
        fabric = Fabric(
            accelerator=accelerator(runtime),
            devices=runtime.devices,
            num_nodes=runtime.num_nodes,
            precision=runtime.precision,
            strategy=strategy_for(2 if several else 1),
        )
    if isinstance(fabric.strategy, DDPStrategy) and fabric.strategy.cluster_environment is not None:
        start_others(fabric.strategy.cluster_environment, fabric.strategy.num_processes)
    fabric.launch()
    on_cpu = fabric.device.type == "cpu"
    torch.use_deterministic_algorithms(on_cpu)
    # Filling memory that nothing reads costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not on_cpu
    return fabric
