"""The result files of a run as strict, frozen types; docs/results.md describes them for people."""

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from icsd.params import UserError


class _Record(BaseModel):
    """Unknown keys are allowed, so that a report reads files that later versions extended."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class Agreement(_Record):
    """How alike a student and its teacher predict on the reported split."""

    pixels: float = Field(ge=0, le=1)
    kl: float
    ics_distance: float


class Metrics(_Record):
    """metrics.json: what one network reaches on the reported split; fractions in 0..1."""

    schema_version: Literal[1] = Field(alias="schema")
    dataset: str
    method: str
    student: str
    seed: int
    split: str
    num_images: int = Field(gt=0)
    classes: tuple[str, ...]
    miou: float = Field(ge=0, le=1)
    pixel_accuracy: float = Field(ge=0, le=1)
    class_accuracy: float = Field(ge=0, le=1)
    iou_per_class: tuple[float | None, ...]
    absent_classes: tuple[str, ...]
    agreement: Agreement | None
    parameters: int
    flops: int | None
    flops_input: tuple[int, ...] | None
    weights_sha256: str
    teacher_sha256: str | None = None

    @model_validator(mode="after")
    def _one_iou_per_class(self) -> Self:
        if len(self.iou_per_class) != len(self.classes):
            raise ValueError(
                f"iou_per_class has {len(self.iou_per_class)} values for {len(self.classes)} classes"
            )
        return self


class Network(_Record):
    """What was built."""

    backbone: str
    width: float
    output_stride: int


class Training(_Record):
    """train.json: how one network was trained; equal in every identical run."""

    schema_version: Literal[1] = Field(alias="schema")
    kind: Literal["student", "teacher"]
    dataset: str
    method: str | None = None
    network: Network
    seed: int
    pretrained: bool | str
    epochs: int
    batch: int
    crop: tuple[int, int]
    num_train_images: int
    num_validation_images: int
    selected: Literal["last", "best_val"]
    selected_epoch: int | None
    weights_source: str | None = "set by hand"
    """Where the terms' weights come from: published, tuned (and how), set by hand; None without terms."""
    params: dict[str, Any]


class MlflowRun(_Record):
    """Where the run's curves and artifacts are."""

    experiment: str
    run_id: str | None
    uri: str | None = None


class GitState(_Record):
    """The code that trained the network."""

    commit: str | None
    dirty: bool | None


class Cost(_Record):
    """costs/*.json: what a run cost and where it ran; differs between identical runs."""

    seconds_training: float
    seconds_per_epoch: float
    images_per_second: float
    peak_memory_mb: float | None
    device: str
    machine: str
    torch: str
    extra_parameters: int
    started: str
    finished: str
    resumed: int
    mlflow: MlflowRun | None
    git: GitState | None


Record = TypeVar("Record", bound=_Record)


def read_record(path: Path, kind: type[Record]) -> Record:
    """One JSON file as a record.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: The file is not valid JSON or a field is missing or wrong; names the file and the field.
    """
    text = path.read_bytes()
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise UserError(
            f"{path}: {field}: {first['msg']}; delete the file and run the stage that writes it again"
        ) from error
