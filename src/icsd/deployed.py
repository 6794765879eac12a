"""What the stage ``deploy`` writes: the champions as files, and how fast everything is; for who reads it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from icsd.records import Digest, FileName, Record

RECORD = "deployment.json"
Format = Literal["onnx", "torch", "int8"]
Milliseconds = Annotated[float, Field(ge=0)]


def deployed_folder(dataset: str) -> Path:
    """Output of the stage."""
    return Path("deployed") / dataset


class Form(Record):
    """A network in one form.

    Attributes:
        bytes: Of its file; of a network of this project, of its weights.
        p50_ms: Median of the durations of a call.
        p95_ms: Their 95th percentile.
    """

    bytes: int = Field(ge=0)
    p50_ms: Milliseconds
    p95_ms: Milliseconds


class FileForm(Form):
    """An exported file, in the student's folder.

    Attributes:
        format: What it is.
        file: Its name.
        sha256: Of its content.
        confusion: Name of the file with its confusion matrices on the reported split.
    """

    format: Format
    file: FileName
    sha256: Digest
    confusion: FileName


class DeployedStudent(Record):
    """A student's champion.

    Attributes:
        student: Its name, and that of its folder.
        method: That it was trained with.
        seed: The first of the grid that has a score; no score selects it.
        weights_sha256: Of the weights that the files were made of.
        reason: Why this method, in words.
        own: The network itself, in PyTorch.
        alone: The student alone, in PyTorch; None where it is not in the grid, or the champion.
        teacher: In PyTorch.
        files: In every format.
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
        students: None where ``deploy.formats`` is empty.
        size: Height and width of the images as the networks see them, whose durations these are.
        threads: Of the CPU.
        machine: On which durations were measured.
        preprocessing: Whether the files' durations include scaling and normalising.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dataset: str
    students: tuple[DeployedStudent, ...]
    size: tuple[int, int] | None = None
    threads: int | None = None
    machine: str | None = None
    preprocessing: Literal["outside", "inside"] | None = None
