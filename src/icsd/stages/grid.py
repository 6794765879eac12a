"""Which networks params.yaml asks for: the expected grid, never what happens to be on disk."""

from collections.abc import Sequence

from icsd.models.names import portable
from icsd.params import Params
from icsd.runs import RunKey


def teacher_key(params: Params) -> RunKey:
    """The dataset's teacher."""
    network = params.networks.teacher
    name = portable(network.library_name or network.backbone)
    return RunKey.teacher(params.dataset, backbone=name, seed=params.teacher.seed)


def student_keys(params: Params, methods: Sequence[str]) -> list[RunKey]:
    """Every student of the grid that is trained with one of ``methods``."""
    return [
        RunKey(params.dataset, method, student, seed)
        for method in methods
        for student in params.grid.students
        for seed in params.grid.seeds
    ]
