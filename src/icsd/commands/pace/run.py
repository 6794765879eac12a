"""The command: measures every method of the grid with every student, and writes each pace at once."""

from collections.abc import Sequence
from pathlib import Path

from icsd.commands.named_blocks import check_named
from icsd.commands.outdated_teacher import note_outdated_teacher
from icsd.commands.pace.steps import measure
from icsd.files import check_writable, exclusive
from icsd.runs import state_root
from icsd.stages.chosen_weights import tunable
from icsd.stages.paces import Pace, epochs_at, pace_path, read_paces, write_paces
from icsd.stages.validate import checked_params


def pace(root: Path, *, methods: Sequence[str], student: str | None, rounds: int) -> None:
    """Measure ``methods`` and merge their paces into configs/pace/<dataset>.yaml.

    Args:
        root: The repository.
        methods: Blocks of params.yaml; empty for those of the grid.
        student: A block of ``networks.students``; None for those of the grid.
        rounds: Timed steps of each method, and of the student alone with it.

    Raises:
        UserError: A method or student does not exist, or data or teacher are missing.
    """
    params = checked_params(root, use_tuned=False)
    methods = list(dict.fromkeys(methods)) or tunable(params)
    students = params.grid.students if student is None else [student]
    lacking = "loss; it is what the others are measured against"
    check_named(params, methods=methods, students=students, lacking=lacking)
    check_writable(root / pace_path(params.dataset))
    read_paces(root, params.dataset)  # before anything is measured, and again when something is added
    note_outdated_teacher(root, params)
    with exclusive(
        state_root() / "pace" / params.dataset / "lock", waiting=f"another process measures {params.dataset}"
    ):
        for name in students:
            for method in methods:
                found = measure(root, params, method=method, student=name, rounds=rounds)
                paces = read_paces(root, params.dataset)
                write_paces(root, params.dataset, {**paces, name: {**paces.get(name, {}), method: found}})
                print(pace_line(method, name, found, epochs=params.train.epochs), flush=True)
    print(pace_path(params.dataset), flush=True)


def pace_line(method: str, student: str, found: Pace, *, epochs: int) -> str:
    """The line that is printed about a measurement."""
    return (
        f"{method} · {student}: {found.pace:.2f} times the student alone ({found.milliseconds:.1f} ms a step "
        f"against {found.milliseconds_alone:.1f}): {epochs_at(found.pace, epochs)} epochs take as long as "
        f"its {epochs}"
    )
