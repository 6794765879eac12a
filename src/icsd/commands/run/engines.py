"""The place for ``--on ray | slurm``: checks what the engine needs, and tells the user what is sent."""

import os
from pathlib import Path

from icsd.commands.run.exchange import Exchange
from icsd.commands.run.graph import Graph
from icsd.commands.run.nodes import Engine, Nodes
from icsd.commands.run.parcel import pack, uncommitted
from icsd.errors import UserError, some
from icsd.params import load_params
from icsd.tracking.identity import checkout_id

FOLDER = Path(".state") / "cluster"
"""Submitit's files, and by default all that SLURM's nodes write."""
_OURS = ("ICSD_", "MLFLOW_")
"""Prefixes of environment variables that the nodes need; SLURM passes on all variables by itself."""


def nodes_of(engine: str, root: Path, graph: Graph, *, jobs: int | None) -> Nodes:
    """The nodes of an engine.

    Args:
        engine: ``ray``, ``slurm``, or ``local`` for submitit's processes on this machine instead of SLURM.
        root: The repository.
        graph: Its stages.
        jobs: How many stages may be queued or running; None for all.

    Raises:
        UserError: The engine, DVC's remote or a tracking server is missing.
    """
    params = load_params(root)
    if params.tracking.enabled:
        _check_tracking()
    folder = (root / FOLDER).resolve()
    scratch = params.cluster.scratch or (str(folder) if engine != "ray" else None)
    parcel = pack(
        root,
        graph.repo,
        checkout=checkout_id(root),
        scratch=scratch,
        environment={key: value for key, value in os.environ.items() if key.startswith(_OURS)}
        if engine == "ray"
        else {},
        shared=folder if engine != "ray" else None,
    )
    if changed := uncommitted(root, parcel):
        print(f"note: files travel as they are, with what is not committed: {some(changed, len(changed))}")
    exchange = Exchange(graph)
    chosen: Engine
    if engine == "ray":
        from icsd.commands.run.under_ray import UnderRay

        chosen = UnderRay(parcel, params.cluster)
    else:
        from icsd.commands.run.under_slurm import UnderSlurm

        chosen = UnderSlurm(folder / "jobs", parcel, params.cluster, executor=engine)
    return Nodes(chosen, exchange.send, jobs=jobs or len(graph.order), runs=exchange.runs())


def _check_tracking() -> None:
    """Refuse MLflow's default, a file in the checkout: each node would write its own, and lose it."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address or (address.startswith("sqlite:///") and not address.startswith("sqlite:////")):
        raise UserError(
            "stages on other machines record into one MLflow server: set MLFLOW_TRACKING_URI to its address "
            "(docs/cluster.md), or tracking.enabled to false in params.yaml"
        )
