"""Tuned weights: the file that ``python -m pipeline tune`` writes.

``configs/tuned/<dataset>.yaml`` holds the chosen weights of every tuned method, how they were searched, and
the block that the search began with.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from icsd.files import write_bytes
from icsd.params import Block, Count, Name, Natural, NonNegative, Positive
from icsd.params.written_files import read_written
from icsd.yaml_files import yaml_text

_HEADER = "# Written by python -m pipeline tune; read where params.yaml says `weights: tuned`.\n\n"

Share = Annotated[float, Field(ge=0, le=1)]


class Search(Block):
    """How weights were searched.

    Attributes:
        factor: Factor by which the block's own weights were multiplied.
        miou: mIoU of the best trial on the validation split, a fraction.
        miou_untuned: The same with the block's own weights; null if that training diverged.
        miou_alone: The same for the student alone, trained with the same seed and epochs.
        split: The split that the trials were compared on.
        trials: Students trained, including those that diverged.
        diverged: Students whose loss or weights became infinite or NaN.
        range: Factors lay between 1 / range and range.
        epochs: Epochs of every trial.
        seed: Seed of every trial.
        student: Backbone of the trials.
        teacher_sha256: Digest of the teacher's weights.
        data_sha256: Digest of the prepared data's manifest.
        study: Hash of everything that determines the trials: data, teacher, code, numbers.
    """

    factor: Positive
    miou: Share
    miou_untuned: Share | None
    miou_alone: Share
    split: str
    trials: Count
    diverged: Natural
    range: Positive
    epochs: Count
    seed: Natural
    student: str
    teacher_sha256: str
    data_sha256: str
    study: str


class Tuned(Block):
    """One method's entry: its weights, how they were searched, and the block of params.yaml they are for."""

    weights: dict[Name, NonNegative]
    search: Search
    block: dict[str, Any]

    @property
    def student_inputs(self) -> dict[str, Any]:
        """The part of the entry on which a student and its description depend."""
        return {"weights": self.weights, **self.search.model_dump(include={"trials", "seed", "student"})}


class TunedFile(Block):
    """The whole file."""

    methods: dict[Name, Tuned]


def tuned_path(dataset: str) -> Path:
    """The file of a dataset's tuned weights, relative to the root of the repository."""
    return Path("configs") / "tuned" / f"{dataset}.yaml"


def read_tuned(root: Path, dataset: str) -> dict[str, Tuned]:
    """Every tuned method of a dataset; empty if nothing was tuned.

    Raises:
        UserError: The file is not what the command writes.
    """
    otherwise = (
        "not as `python -m pipeline tune` writes it; bring it back with `git restore`, or delete it and tune "
        "all methods again (trials that are kept in .state/ are not repeated)"
    )
    written = read_written(root, tuned_path(dataset), TunedFile, otherwise=otherwise)
    return written.methods if written else {}


def write_tuned(root: Path, dataset: str, methods: dict[str, Tuned]) -> None:
    """Replace the file, in the layout that ``dvc exp run -S`` would give it."""
    content = {"methods": {name: methods[name].model_dump() for name in sorted(methods)}}
    write_bytes(root / tuned_path(dataset), f"{_HEADER}{yaml_text(content)}".encode())
