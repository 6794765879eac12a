"""One type per result file, shared by its writers and readers; docs/results.md describes the files.

A file has the version of its layout, ``schema``. A reader accepts files that later versions have extended
(unknown keys are ignored) and rejects those in which a field that it needs is missing or wrong.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from icsd.errors import UserError
from icsd.files import write_json
from icsd.recorded_params import checked_params, pace_in
from icsd.runs import advice_for

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 as hexadecimal digits."""
FileName = Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]
"""A name without a folder: the file lies next to the record that names it."""


class Record(BaseModel):
    """The content of a JSON file, or a part of one: strict, frozen, finite numbers only."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class Agreement(Record):
    """How closely a student follows its teacher on the reported split.

    Attributes:
        pixels: Fraction of labelled pixels on which both predict the same class.
        kl: Mean over labelled pixels (of the logits' grid) of KL(teacher ‖ student), τ = 1, in nats.
        ics_distance: Mean over images of the similarity matrices' mean squared difference: the ICSD loss.
    """

    pixels: float = Field(ge=0, le=1)
    kl: float
    ics_distance: float


class MetricsRecord(Record):
    """results/.../metrics.json: a network's scores on the reported split, as fractions."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
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
    """None for a class that is absent from the labels."""
    absent_classes: tuple[str, ...]
    agreement: Agreement | None
    """None for the teacher."""
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


class DivergedRecord(Record):
    """results/.../diverged.json: why a student has no metrics."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    weights_sha256: str
    not_finite: tuple[str, ...]  # names of the tensors that hold NaN or infinity
    loss: str | None
    """Training's message about the loss that was not finite; None if only weights are not finite."""


class NetworkRecord(Record):
    """The network that was built.

    Attributes:
        architecture: Its name in params.yaml; for a model's folder, the folder's name.
        backbone: Backbone of DeepLabV3+; for any other network, its architecture.
        width: Width of DeepLabV3+; 1 for any other network.
        head_width: Width of the head of DeepLabV3+ if it differs from the backbone's; otherwise None.
        output_stride: None if the network has no such setting.
    """

    architecture: str = "deeplabv3plus"
    backbone: str
    width: float
    head_width: float | None = None
    output_stride: int | None


class Provenance(Record):
    """Everything except the parameters that determines a network, as SHA-256 digests.

    Attributes:
        code: Maps each source file that can change the result (by its path in ``src``, or by its name if it
            belongs to a user's own network) to its digest.
        data: Digest of the prepared data's manifest, which has the digest of every shard.
        teacher: Digest of the teacher's weights; None for the teacher itself.
        pretrained: Digest of a local file of initial weights; None without one.
        weights: Digest of the file that the whole network was loaded from; None without one.
    """

    code: dict[str, str]
    data: str
    teacher: str | None
    pretrained: str | None
    weights: str | None = None


class TrainRecord(Record):
    """runs/.../train.json: how one network was trained; the same bytes in every identical run."""

    schema_version: Literal[1, 2] = Field(default=2, alias="schema")
    """Version 1 had no field ``provenance``."""
    kind: Literal["student", "teacher"]
    dataset: str
    method: str | None
    """None for the teacher."""
    network: NetworkRecord
    seed: int
    pretrained: bool | str
    loaded: str | None = None
    """Name or address of the weights that the whole network was loaded from; None without them."""
    epochs: int  # 0 for a teacher that was not trained here
    batch: int
    crop: tuple[int, int]
    num_train_images: int
    num_unlabelled_images: int = 0
    """Additional images that a student sees without their labels."""
    num_validation_images: int
    selected: Literal["last", "best_val"]
    selected_epoch: int | None
    """None for a run that diverged."""
    diverged: str | None = None
    """Which loss was not finite, and when; None for a run that did not diverge."""
    weights_sha256: Digest | None = None
    """SHA-256 of the weights; None in files of older versions."""
    weights_source: str | None = "set by hand"
    """Where the terms' weights come from: published, tuned (and how), set by hand; None without terms."""
    params: Annotated[dict[str, Any], AfterValidator(checked_params)]
    """The parameter blocks that determine the run."""
    provenance: Provenance | None = None
    """None in files of older versions."""

    @property
    def pace(self) -> float | None:
        """The pace that set the run's epochs under ``train.budget: seconds``; None under equal epochs."""
        return pace_in(self.params)

    @property
    def and_unlabelled(self) -> str:
        """Text such as ``, and 1500 without labels``; empty if there are none."""
        count = self.num_unlabelled_images
        return f", and {count} without labels" if count else ""


class MlflowRecord(Record):
    """Where MLflow has the run's curves and artifacts; without an id, the tag ``icsd.key`` identifies it."""

    experiment: str
    run_id: str | None
    uri: str | None = None
    key: str | None = None


class GitRecord(Record):
    """The code that trained the network."""

    commit: str | None
    dirty: bool | None


class CostRecord(Record):
    """costs/*.json: what a run cost and where it ran. It differs every time, so no result depends on it."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    seconds_training: float
    seconds_per_epoch: float | None  # like the next, None if no epoch was trained
    images_per_second: float | None
    peak_memory_mb: float | None
    device: str
    machine: str
    torch: str
    extra_parameters: int  # of the method's own modules, which train alongside the student
    started: str
    finished: str
    resumed: int  # how often
    cached_epochs: int = Field(default=0, ge=0)
    """Number of epochs in which the teacher's logits were read from files that another run had written."""
    seconds_saved: float = 0.0
    """Time the teacher would have taken in them, minus the time of reading, and of writing for other runs."""
    processor_seconds: float | None = None
    """CPU time of all cores without loader processes, hardly affected by other load; None in older files."""
    processor_saved: float = 0.0  # as seconds_saved
    mlflow: MlflowRecord | None
    git: GitRecord | None
    state: str  # the run's resume state, from the main repository's root


class FetchedFile(Record):
    """An archive of a dataset, as it was downloaded."""

    name: FileName
    bytes: int = Field(ge=0)
    sha256: Digest


class SourceRecord(Record):
    """data/<dataset>/raw/source.json: what was downloaded, without paths, addresses and dates."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dataset: str
    files: tuple[FetchedFile, ...]


Kind = TypeVar("Kind", bound=Record)


def write_record(path: Path, record: Record) -> None:
    """Write a record atomically; equal records give equal bytes."""
    write_json(path, record.model_dump(mode="json", by_alias=True))


def read_record(path: Path, kind: type[Kind], *, advice: str | None = None) -> Kind:
    """Read a JSON file as a record; ``advice`` on an invalid file is by default how to restore it.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: The file is not valid JSON or a field is missing or wrong; names the file and the field.
    """
    text = path.read_bytes()
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        wrong = first_mistake(error, whole="the whole file")
        raise UserError(f"{path}: {wrong}; {advice or advice_for(path)}") from error


def first_mistake(error: ValidationError, *, whole: str) -> str:
    """The first wrong field and what is wrong; ``whole`` names the field if it is the whole content."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or whole
    return f"{field}: {first['msg']}"


def read_needed(path: Path, kind: type[Kind], *, missing: str, advice: str) -> Kind:
    """Like ``read_record``, for a required file.

    Args:
        path: The file.
        kind: Its type.
        missing: What a missing file means and what to do, for the message.
        advice: What to do about an unreadable or invalid file.

    Raises:
        UserError: The file is missing, unreadable or invalid.
    """
    try:
        return read_record(path, kind, advice=advice)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file, so {missing}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
