"""Resources that ``python -m pipeline run --on ray | slurm`` requests from other machines."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from icsd.params.block import Block, Name


def _plain(value: Any) -> Any:  # noqa: ANN401 - as YAML has it
    many = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) for each in many):
        raise ValueError("must be text, a number, true or false, or a list of them")
    return value


class Cluster(Block):
    """Resources of a stage on a node. No stage depends on them.

    Attributes:
        gpus: Number of GPUs; may be fractional under Ray.
        cpus: Number of CPU cores.
        memory: Memory in GB.
        retries: How often a stage is restarted if its worker dies.
        scratch: Folder on a node for clones, DVC's cache and resume states.
        slurm: Further parameters of submitit's SLURM executor.
    """

    gpus: Annotated[float, Field(ge=0, le=1024)]
    cpus: Annotated[float, Field(gt=0, le=4096)]
    memory: Annotated[float, Field(gt=0, le=100_000)]
    retries: Annotated[int, Field(ge=0, le=100)]
    scratch: Annotated[str, Field(pattern=r"^/")] | None
    slurm: Annotated[dict[Name, Annotated[Any, AfterValidator(_plain)]], Field(max_length=40)]
