"""The parameters as one frozen, strict tree.

``params.yaml`` holds every number. The preset of the dataset (``configs/datasets/<dataset>.yaml``) supplies
values that are ``null`` there; other values in params.yaml take precedence. The schema itself has defaults
only for a network's keys, which may be left out if all networks or the network's library have a value. Any
other key that neither file sets is an error.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from icsd.params.alw import AlwChanges, AlwParams
from icsd.params.block import (
    Block,
    Count,
    Fraction,
    Name,
    Natural,
    Processes,
    Seed,
    Size,
    Temperature,
    Weight,
)
from icsd.params.cluster import Cluster
from icsd.params.deploy import Deploy
from icsd.params.folder import Folder
from icsd.params.networks import Networks
from icsd.params.training import PacedTraining, StudentTraining, TeacherTraining


class Grid(Block):
    """What is trained: students × methods × seeds, with methods under ALW (distilled) or not (baselines)."""

    students: Annotated[list[Name], Field(min_length=1)]
    baselines: list[Name]
    distilled: list[Name]
    seeds: Annotated[list[Seed], Field(min_length=1)]

    @property
    def methods(self) -> list[str]:
        """All methods, in the order of the tables."""
        return [*self.baselines, *self.distilled]


class Source(Block):
    """One file to fetch: its URL, and its SHA-256 if the publisher never changes the file."""

    url: str
    sha256: str | None


class Splits(Block):
    """The published split for each role; ``validation: null`` if there are only two splits."""

    train: str
    validation: str | None
    report: str


class Generated(Block):
    """The generated dataset: images per split, side of an image in pixels, and seed."""

    train: Count
    val: Count
    test: Count
    size: Annotated[int, Field(ge=32, le=4096)]
    seed: Seed


class Data(Block):
    """Where the images come from, and what each split is used for."""

    reader: str
    source: str | None
    sources: list[Source]
    classes: Annotated[int, Field(ge=2, le=255)]
    splits: Splits
    holdout: Natural
    generated: Generated | None
    folder: Folder | None


Scale = Annotated[float, Field(ge=0.02, le=16)]
"""Factor on an image's sides; below the lower limit only a few pixels would be left."""


class Images(Block):
    """How images are preprocessed for training (crop and augmentation) and evaluation."""

    input_scale: Scale
    crop: Size
    scale: Annotated[list[Scale], Field(min_length=2, max_length=2)]
    flip: Fraction
    blur: Fraction
    colour: Fraction

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> "Images":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale must be [smallest, largest], got {self.scale}")
        return self


class Monitor(Block):
    """Monitoring of gradients and similarity during a student's training. No result depends on it."""

    health_steps: Natural
    similarity_every: Natural
    similarity_images: Count


class MethodBlock(BaseModel):
    """One method: weights of its terms, whether ALW schedules them, and its constructor's arguments.

    ``icsd.methods.parse_block`` checks the arguments against the method's class. Only the keys that all
    methods share are checked here.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)

    alw: bool | AlwChanges
    weights: dict[Name, Weight]

    @property
    def block(self) -> dict[str, Any]:
        """The block as written in params.yaml."""
        return self.model_dump(exclude_unset=True)

    def schedule(self, common: AlwParams) -> AlwParams | None:
        """The schedule of its weights: the common block ``alw`` with this block's changes; None for none."""
        if isinstance(self.alw, AlwChanges):
            changes = self.alw.model_dump(exclude_unset=True)
            return cast(AlwParams, common.model_copy(update=changes))
        return common if self.alw else None


class Tuning(Block):
    """The search of ``python -m pipeline tune``, the same for every method. No stage depends on it."""

    trials: Annotated[int, Field(ge=1, le=10_000)]
    factor: Annotated[float, Field(gt=1, le=1e60)]
    epochs: Count | None
    seed: Seed


class Evaluation(Block):
    """Temperature of the evaluated similarity matrices, and number of images whose predictions are kept."""

    temperature: Temperature
    panels: Annotated[int, Field(ge=0, le=100)]


class Report(Block):
    """Resampling for the report's intervals. Differences smaller than ``rope`` are negligible."""

    resamples: Annotated[int, Field(ge=100, le=100_000)]
    seed: Seed
    rope: Annotated[float, Field(ge=0, le=100)]
    clips: str

    @property
    def clip_pattern(self) -> str | None:
        """The regular expression of a clip's name; None if images are independent."""
        return None if self.clips == "none" else self.clips

    @field_validator("clips")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"no regular expression: {str(error)[:80]}") from error
        return pattern


_MODES: dict[str, dict[str, Any]] = {
    "exact": {
        "precision": "32-true",
        "channels_last": False,
        "fold_teacher": False,
        "fused_optimizer": False,
    },
    "fast": {
        "precision": "bf16-mixed",
        "channels_last": True,
        "fold_teacher": True,
        "fused_optimizer": True,
    },
}
"""Maps ``runtime.mode`` to its values for keys that are left empty."""


class Runtime(Block):
    """Hardware and speed settings, on which no stage depends. ``mode`` supplies keys that are null."""

    mode: Literal["exact", "fast"]
    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Processes | Literal["auto"]
    num_nodes: Processes
    precision: Literal["32-true", "bf16-mixed"]
    workers: Annotated[int, Field(ge=0, le=1024)]
    threads: Processes
    channels_last: bool
    fold_teacher: bool
    fused_optimizer: bool
    compile: bool
    max_batch_per_device: Count | None
    teacher_cache: Literal["auto", "off", "float32", "float16"]
    teacher_cache_gb: Annotated[float, Field(ge=0, le=1e6)]

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        mode = _MODES["fast" if values.get("mode") == "fast" else "exact"]
        empty = {key: value for key, value in mode.items() if key in values and values[key] is None}
        return {**values, **empty}


class Tracking(Block):
    """MLflow: on or off, and what is sent in addition to curves and parameters."""

    enabled: bool
    models: bool
    system_metrics: bool


class Params(Block):
    """The whole tree; params.yaml explains every number."""

    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", max_length=80)]
    grid: Grid
    data: Data
    images: Images
    networks: Networks
    teacher: TeacherTraining
    train: StudentTraining
    monitor: Monitor
    weights: Literal["untuned", "tuned"]
    methods: dict[Name, MethodBlock]
    alw: AlwParams
    tuning: Tuning
    evaluation: Evaluation
    report: Report
    deploy: Deploy
    runtime: Runtime
    cluster: Cluster
    tracking: Tracking

    def digest(self) -> str:
        """Short hash of all parameters that can change a result: without hardware, tracking and the like."""
        without_effect = {"monitor", "tuning", "runtime", "cluster", "tracking"}
        if not self.deploy.formats:
            without_effect.add("deploy")
        numbers = self.model_dump(exclude=without_effect)
        if isinstance(self.train, PacedTraining):  # all methods share the digest of their params.yaml
            numbers["train"]["epochs"] = self.train.epochs_alone
        return digest_of(numbers)


def digest_of(value: object) -> str:
    """First 12 hexadecimal digits of the SHA-256 of a JSON-serialisable value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def has_validation(data: Data) -> bool:
    """Whether there are validation images: a published split, or images held out from training."""
    return data.splits.validation is not None or data.holdout > 0
