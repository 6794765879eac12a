"""The parameters as one frozen, strict tree.

``params.yaml`` holds every number. Where a value there is ``null``, the preset of the dataset
(``configs/datasets/<dataset>.yaml``) supplies it; a value that is written there wins. The tree that
comes out has no defaults of its own but for networks, whose keys may be left out where all networks or their
library have a value: any other key that neither file sets is an error.
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
from icsd.params.training import StudentTraining, TeacherTraining


class Grid(Block):
    """What is trained: students × seeds, with methods under ALW (distilled) and without (baselines)."""

    students: Annotated[list[Name], Field(min_length=1)]
    baselines: list[Name]
    distilled: list[Name]
    seeds: Annotated[list[Seed], Field(min_length=1)]

    @property
    def methods(self) -> list[str]:
        """All methods, in the order of the tables."""
        return [*self.baselines, *self.distilled]


class Source(Block):
    """One file to fetch: a URL, and its sha256 where the publisher's file never changes."""

    url: str
    sha256: str | None


class Splits(Block):
    """Which published split plays which role; ``validation: null`` where there are only two."""

    train: str
    validation: str | None
    report: str


class Generated(Block):
    """Size of the generated dataset: images per split, pixels per side, and its seed."""

    train: Count
    val: Count
    test: Count
    size: Annotated[int, Field(ge=32, le=4096)]
    seed: Seed


class Data(Block):
    """Where the images come from, and which are used for what."""

    reader: str
    source: str | None
    sources: list[Source]
    classes: Annotated[int, Field(ge=2, le=255)]
    splits: Splits
    holdout: Natural
    generated: Generated | None
    folder: Folder | None


Scale = Annotated[float, Field(ge=0.02, le=16)]
"""Of an image's sides; less leaves pixels, not an image."""


class Images(Block):
    """How an image reaches a network, in training (crop and augmentation) and in evaluation."""

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
    """What is watched while a student learns: gradients and similarity. No number depends on it."""

    health_steps: Natural
    similarity_every: Natural
    similarity_images: Count


class MethodBlock(BaseModel):
    """One method: weights of its terms, whether ALW schedules them, and its constructor's arguments.

    The arguments are checked against the method's class by ``icsd.methods.parse_block``; here only
    what all methods share.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)

    alw: bool | AlwChanges
    weights: dict[Name, Weight]

    @property
    def block(self) -> dict[str, Any]:
        """The block as it stands in params.yaml."""
        return self.model_dump(exclude_unset=True)

    def schedule(self, common: AlwParams) -> AlwParams | None:
        """The schedule of its weights: the common block ``alw`` and what this one changes; None without."""
        if isinstance(self.alw, AlwChanges):
            changes = self.alw.model_dump(exclude_unset=True)
            return cast(AlwParams, common.model_copy(update=changes))
        return common if self.alw else None


class Tuning(Block):
    """The search of ``python -m pipeline tune``, the same for every method; no stage depends on it."""

    trials: Annotated[int, Field(ge=1, le=10_000)]
    factor: Annotated[float, Field(gt=1, le=1e60)]
    epochs: Count | None
    seed: Seed


class Evaluation(Block):
    """What evaluation keeps alongside the numbers."""

    temperature: Temperature
    panels: Annotated[int, Field(ge=0, le=100)]


class Report(Block):
    """Resampling behind the intervals of the report; ``rope``: smaller differences are negligible."""

    resamples: Annotated[int, Field(ge=100, le=100_000)]
    seed: Seed
    rope: Annotated[float, Field(ge=0, le=100)]
    clips: str

    @property
    def clip_pattern(self) -> str | None:
        """The regular expression of a clip's name; None where images are independent."""
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
"""``runtime.mode`` -> its values of the keys that are left empty."""


class Runtime(Block):
    """Where and how fast it runs; no stage depends on it. What is null has the value of ``mode``."""

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
    """MLflow: on or off, and what is sent alongside curves and parameters."""

    enabled: bool
    models: bool
    system_metrics: bool


class Params(Block):
    """The whole tree; see params.yaml for what each number means."""

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
        """Short hash of what can change a number of the pipeline: not where it runs, nor what is tracked."""
        without_effect = {"monitor", "tuning", "runtime", "cluster", "tracking"}
        if not self.deploy.formats:
            without_effect.add("deploy")
        numbers = self.model_dump(exclude=without_effect)
        return digest_of(numbers)


def digest_of(value: object) -> str:
    """First 12 hex digits of the sha256 of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def has_validation(data: Data) -> bool:
    """Whether there are validation images: a published split, or some held out of training."""
    return data.splits.validation is not None or data.holdout > 0
