"""Types of the results of the stage ``deploy``: the champions as files, and how fast each network is."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from icsd.records import Digest, FileName, Record

RECORD = "deployment.json"
Format = Literal["onnx", "torch", "int8"]
Milliseconds = Annotated[float, Field(ge=0)]


def deployed_folder(dataset: str) -> Path:
    """Output folder of the stage."""
    return Path("deployed") / dataset


class Form(Record):
    """A network in one form.

    Attributes:
        bytes: Size of its file, or of the weights of a network in PyTorch.
        p50_ms: Median duration of a call, in milliseconds.
        p95_ms: 95th percentile of the duration of a call, in milliseconds.
    """

    bytes: int = Field(ge=0)
    p50_ms: Milliseconds
    p95_ms: Milliseconds


class FileForm(Form):
    """An exported file, in the student's folder.

    Attributes:
        format: Format of the file.
        file: Name of the file.
        sha256: SHA-256 of its content.
        confusion: Name of the file with its confusion matrices on the reported split.
    """

    format: Format
    file: FileName
    sha256: Digest
    confusion: FileName


class DeployedStudent(Record):
    """A student's champion.

    Attributes:
        student: Name of the student, and of its folder.
        method: Method that it was trained with.
        seed: The first seed of the grid that has a score; it is not selected by its score.
        weights_sha256: SHA-256 of the weights that the files were exported from.
        reason: Why this method is champion, in words.
        own: The network itself, in PyTorch.
        alone: The student alone, in PyTorch; None if it is not in the grid, or is the champion.
        teacher: The teacher, in PyTorch.
        files: The exported file in every format.
    """

    student: FileName
    method: str
    seed: int
    weights_sha256: Digest
    reason: str
    own: Form
    alone: Form | None
    teacher: Form | None
    files: tuple[FileForm, ...]


class DeploymentRecord(Record):
    """deployed/<dataset>/deployment.json.

    Attributes:
        students: One entry per student; empty if ``deploy.formats`` is empty.
        size: Height and width, as the networks see them, of the images on which durations were measured.
        threads: Number of CPU threads.
        machine: The machine on which durations were measured.
        preprocessing: Whether the files' durations include scaling and normalising.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dataset: str
    students: tuple[DeployedStudent, ...]
    size: tuple[int, int] | None = None
    threads: int | None = None
    machine: str | None = None
    preprocessing: Literal["outside", "inside"] | None = None
