"""What ``python -m pipeline run --on ray | slurm`` asks of other machines."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from icsd.params.block import Block, Name


def _plain(value: Any) -> Any:  # noqa: ANN401 - as YAML has it
    many = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) for each in many):
        raise ValueError("must be text, a number, true or false, or a list of them")
    return value


class Cluster(Block):
    """Resources of a stage on a node; no stage depends on them.

    Attributes:
        gpus: Graphics processors, or parts of one under Ray.
        cpus: Cores.
        memory: In GB.
        retries: How often a stage is started again whose worker died.
        scratch: Folder for clones, DVC's cache and states on a node.
        slurm: Further parameters of submitit's SLURM executor.
    """

    gpus: Annotated[float, Field(ge=0, le=1024)]
    cpus: Annotated[float, Field(gt=0, le=4096)]
    memory: Annotated[float, Field(gt=0, le=100_000)]
    retries: Annotated[int, Field(ge=0, le=100)]
    scratch: Annotated[str, Field(pattern=r"^/")] | None
    slurm: Annotated[dict[Name, Annotated[Any, AfterValidator(_plain)]], Field(max_length=40)]
