"""What a trained network is called, and where its files are.

Outputs lie below the working directory, where DVC tracks them. State for resuming lies below
``DVC_ROOT``, the main repository also inside DVC's temporary experiments, and is no output:
DVC deletes outputs before a stage runs.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TEACHER = "teacher"
"""The name that stands where a student has its method."""
_STAGES = {"runs", "costs", "results", "deployed"}


@dataclass(frozen=True)
class RunKey:
    """One trained network: the teacher of a dataset, or a student × method × seed."""

    dataset: str
    method: str
    network: str
    seed: int

    @classmethod
    def teacher(cls, dataset: str, *, backbone: str, seed: int) -> Self:
        """The teacher of a dataset: there is one."""
        return cls(dataset, TEACHER, backbone, seed)

    @property
    def is_teacher(self) -> bool:
        """Whether this is the teacher and not a student."""
        return self.method == TEACHER

    @property
    def path(self) -> Path:
        """The run's place below ``runs/`` and ``results/``."""
        base = Path(self.dataset) / self.method
        return base if self.is_teacher else base / f"{self.network}-{self.seed}"

    @property
    def title(self) -> str:
        """How MLflow and the log call it."""
        return f"{self.method} · {self.network} · seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Output of training: weights, history.csv, train.json."""
        return Path("runs") / self.path

    @property
    def weights(self) -> Path:
        """The network's weights."""
        return self.folder / ("teacher.safetensors" if self.is_teacher else "student.safetensors")

    @property
    def results(self) -> Path:
        """Output of evaluation."""
        return Path("results") / self.path

    @property
    def cost(self) -> Path:
        """What training cost, and its MLflow run: never the same twice, so a file of its own."""
        return Path("costs") / self.path.with_name(self.path.name + ".json")

    def state(self, determined_by: str) -> Path:
        """Folder for resuming a run that is fully determined by the hash ``determined_by``."""
        return state_root() / "runs" / f"{'-'.join(self.path.parts)}-{determined_by}"


def advice_for(path: Path) -> str:
    """What brings back a damaged output: the end of a message that names it."""
    parts = path.parts
    start = max((index for index, part in enumerate(parts) if part in _STAGES), default=None)
    if start is None or len(parts) < start + 3:
        return "delete it, and run what writes it again"
    kind, method, run = parts[start], Path(parts[start + 2]).stem, Path(*parts[start + 3 : start + 4]).stem
    stage = "train_teacher" if kind != "results" else "evaluate_teacher"
    if kind == "deployed":
        stage = "deploy"
    elif kind == "results" and method != TEACHER:
        stage = f"--glob 'evaluate_*@{method}'"
    elif method != TEACHER:
        stage = f"--glob '*@{method}-{run}'"
    place = Path(*parts[start:]).as_posix()
    return f"`dvc checkout -f {place}` restores it, or `dvc repro -f -s {stage}` makes it anew"


def data_folder(dataset: str) -> Path:
    """What preprocessing makes of a dataset."""
    return Path("data") / dataset / "processed"


def raw_folder(dataset: str) -> Path:
    """What was downloaded."""
    return Path("data") / dataset / "raw"


def validated_folder(dataset: str) -> Path:
    """What ``validate`` writes: the parameters of an execution, and those of each stage."""
    return Path("data") / dataset / "validated"


def main_root(root: Path = Path()) -> Path:
    """The main repository, also inside DVC's temporary experiments; without DVC ``root``."""
    return Path(os.environ.get("DVC_ROOT") or root).resolve()


def places_of(root: Path, named: str) -> list[Path]:
    """Where a file or folder that params.yaml names may be, the first place to look at first.

    A relative path begins at ``root`` or else at the main repository: DVC's temporary experiments run in a
    copy that has only what git and DVC track.
    """
    path = Path(named).expanduser()
    return [path] if path.is_absolute() else [root / path, main_root(root) / path]


def state_root() -> Path:
    """Where interrupted work is kept: ignored by git and DVC."""
    return main_root() / ".state"
