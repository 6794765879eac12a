"""Names of trained networks, and paths of their files.

Outputs are below the working directory, where DVC tracks them. State for resuming is below ``DVC_ROOT``,
which is the main repository even in DVC's temporary experiments. It is not an output, because DVC deletes
outputs before a stage runs.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TEACHER = "teacher"
"""The name used in place of a student's method."""
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
        """The only teacher of a dataset."""
        return cls(dataset, TEACHER, backbone, seed)

    @property
    def is_teacher(self) -> bool:
        """Whether this is the teacher rather than a student."""
        return self.method == TEACHER

    @property
    def path(self) -> Path:
        """The run's path below ``runs/`` and ``results/``."""
        base = Path(self.dataset) / self.method
        return base if self.is_teacher else base / f"{self.network}-{self.seed}"

    @property
    def title(self) -> str:
        """Its title in MLflow and in the log."""
        return f"{self.method} · {self.network} · seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Output of training: weights, history.csv, train.json."""
        return Path("runs") / self.path

    @property
    def weights(self) -> Path:
        """File of the network's weights."""
        return self.folder / ("teacher.safetensors" if self.is_teacher else "student.safetensors")

    @property
    def results(self) -> Path:
        """Output of evaluation."""
        return Path("results") / self.path

    @property
    def cost(self) -> Path:
        """File of the training's cost and MLflow run, separate because it differs every time."""
        return Path("costs") / self.path.with_name(self.path.name + ".json")

    def state(self, determined_by: str) -> Path:
        """Folder for resuming a run that is fully determined by the hash ``determined_by``."""
        return state_root() / "runs" / f"{'-'.join(self.path.parts)}-{determined_by}"


def advice_for(path: Path) -> str:
    """How to restore a damaged output: the end of a message that names it."""
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
    """Output folder of preprocessing."""
    return Path("data") / dataset / "processed"


def raw_folder(dataset: str) -> Path:
    """Output folder of the download."""
    return Path("data") / dataset / "raw"


def validated_folder(dataset: str) -> Path:
    """Output folder of ``validate``, with the parameters of an execution and those of each stage."""
    return Path("data") / dataset / "validated"


def main_root(root: Path = Path()) -> Path:
    """The main repository, even in DVC's temporary experiments; without DVC, ``root``."""
    return Path(os.environ.get("DVC_ROOT") or root).resolve()


def places_of(root: Path, named: str) -> list[Path]:
    """Possible paths of a file or folder named in params.yaml, in the order in which to try them.

    A relative path starts at ``root``, or else at the main repository, because DVC's temporary experiments
    run in a copy that has only the files tracked by git and DVC.
    """
    path = Path(named).expanduser()
    return [path] if path.is_absolute() else [root / path, main_root(root) / path]


def state_root() -> Path:
    """Folder for the state of interrupted work, ignored by git and DVC."""
    return main_root() / ".state"
