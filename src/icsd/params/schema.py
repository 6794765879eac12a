"""params.yaml and the dataset preset -> one frozen, strict tree, read once per process.

``params.yaml`` holds every number. Where a value there is ``null``, the preset of the dataset
(``configs/datasets/<dataset>.yaml``) supplies it; a value that is written there wins. The tree that
comes out has no defaults of its own: a key that neither file sets is an error.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from icsd.errors import UserError, did_you_mean

PRESET_ONLY = frozenset({"reader", "sources", "classes", "splits", "generated"})
"""Keys of ``data`` that stages depend on in the preset alone; params.yaml must not set them."""


Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101", "mobilenetv2"]
Decay = Literal["linear", "cosine", "exponential", "polynomial", "step", "constant", "none"]
Scope = Literal["paper", "teacher"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
Natural = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[list[Annotated[int, Field(ge=16)]], Field(min_length=2, max_length=2)]


class Block(BaseModel):
    """A strict, frozen block: no unknown keys, no silent conversion, no NaN or infinity."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Grid(Block):
    """What is trained: students × seeds, with methods under ALW (distilled) and without (baselines)."""

    students: Annotated[list[Backbone], Field(min_length=1)]
    baselines: Annotated[list[Name], Field(min_length=1)]
    distilled: Annotated[list[Name], Field(min_length=1)]
    seeds: Annotated[list[Natural], Field(min_length=1)]

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
    size: Annotated[int, Field(ge=32)]
    seed: Natural


class Data(Block):
    """Where the images come from, and which are used for what."""

    reader: str
    source: str | None
    sources: list[Source]
    classes: Annotated[int, Field(ge=2, le=255)]
    splits: Splits
    holdout: Natural
    generated: Generated | None


class Images(Block):
    """How an image reaches a network, in training (crop and augmentation) and in evaluation."""

    input_scale: Annotated[float, Field(gt=0, le=4)]
    crop: Size
    scale: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    flip: Fraction
    blur: Fraction
    colour: Fraction

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> "Images":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale must be [smallest, largest], got {self.scale}")
        return self


class Network(Block):
    """A backbone's width: 1.0 is the published network, less multiplies every channel count."""

    width: Annotated[float, Field(gt=0, le=2)]


class TeacherNetwork(Network):
    """The teacher: its backbone and width."""

    backbone: Backbone


class Networks(Block):
    """DeepLabV3+ of the teacher and of each student."""

    output_stride: Literal[8, 16]
    pretrained: bool | str
    teacher: TeacherNetwork
    students: dict[Backbone, Network]


class Training(Block):
    """SGD with a poly schedule, per iteration, and what becomes the result."""

    epochs: Count
    batch: Count
    lr: Positive
    head_lr_factor: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: NonNegative
    poly_power: NonNegative
    clip_norm: NonNegative
    validate_every: Count
    select: Literal["last", "best_val"]


class TeacherTraining(Training):
    """The teacher's own training, from its own seed."""

    seed: Natural


class StudentTraining(Training):
    """Every student's training, whatever its method."""


class Monitor(Block):
    """What is watched while a student learns: gradients and similarity. No number depends on it."""

    health_steps: Natural
    similarity_every: Natural
    similarity_images: Count


class AlwParams(Block):
    """Adaptive loss weighting: how the teacher's weight 1 - α decays over a run's own epochs."""

    decay: Decay
    scope: Scope
    power: Positive
    rate: Positive
    steps: Count
    constant: Fraction


class AlwChanges(Block):
    """What a method's own ``alw`` changes of the common one; what it does not name is as there."""

    decay: Decay = "linear"
    scope: Scope = "paper"
    power: Positive = 2.0
    rate: Positive = 5.0
    steps: Count = 4
    constant: Fraction = 0.5


class MethodBlock(BaseModel):
    """One method: weights of its terms, whether ALW schedules them, and its constructor's arguments.

    The arguments are checked against the method's class by ``icsd.methods.parse_block``; here only
    what all methods share.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)

    alw: bool | AlwChanges
    weights: dict[Name, NonNegative]

    @property
    def block(self) -> dict[str, Any]:
        """The block as it stands in params.yaml."""
        return self.model_dump(exclude_unset=True)

    def schedule(self, common: AlwParams) -> AlwParams | None:
        """The schedule of its weights: the common block ``alw`` and what this one changes; None without."""
        if isinstance(self.alw, AlwChanges):
            return common.model_copy(update=self.alw.model_dump(exclude_unset=True))
        return common if self.alw else None


class Tuning(Block):
    """The search of ``python -m pipeline tune``, the same for every method; no stage depends on it."""

    trials: Count
    factor: Annotated[float, Field(gt=1)]
    epochs: Count | None
    seed: Natural


class Evaluation(Block):
    """What evaluation keeps beside the numbers."""

    temperature: Positive
    panels: Natural


class Report(Block):
    """Resampling behind the intervals of the report."""

    resamples: Annotated[int, Field(ge=100)]
    seed: Natural


class Runtime(Block):
    """Where and how fast it runs; no stage depends on it."""

    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Annotated[int, Field(ge=1)] | Literal["auto"]
    num_nodes: Count
    precision: Literal["32-true", "bf16-mixed"]
    workers: Natural
    threads: Count
    channels_last: bool
    compile: bool
    max_batch_per_device: Count | None


class Tracking(Block):
    """MLflow: on or off, and what is sent beside curves and parameters."""

    enabled: bool
    models: bool
    system_metrics: bool


class Params(Block):
    """The whole tree; see params.yaml for what each number means."""

    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
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
    runtime: Runtime
    tracking: Tracking

    def digest(self) -> str:
        """Short hash of what can change a number of the pipeline: not where it runs, nor what is tracked."""
        numbers = self.model_dump(exclude={"monitor", "tuning", "runtime", "tracking"})
        return digest_of(numbers)


def digest_of(value: object) -> str:
    """First 12 hex digits of the sha256 of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def load_params(root: Path) -> Params:
    """Read and check ``root/params.yaml`` with the preset that it names.

    Raises:
        UserError: Any mistake, all of them at once, each with its full path and what is allowed.
    """
    written = read_yaml(root / "params.yaml")
    dataset = written.get("dataset")
    presets = root / "configs" / "datasets"
    if not isinstance(dataset, str) or not (presets / f"{dataset}.yaml").is_file():
        known = sorted(path.stem for path in presets.glob("*.yaml"))
        raise UserError(f"params.yaml: dataset: no preset {dataset!r}{did_you_mean(str(dataset), known)}")
    preset_name = f"configs/datasets/{dataset}.yaml"
    for key in sorted(PRESET_ONLY & set(written.get("data") or {})):
        raise UserError(
            f"params.yaml: data.{key}: says what the dataset is, so it belongs into {preset_name}: change it "
            f"there, or give -S '{preset_name}:data.{key}=...' (params.yaml may override the rest)"
        )
    return parse_params(merge(read_yaml(presets / f"{dataset}.yaml"), written), preset=preset_name)


def parse_params(tree: Mapping[str, Any], *, preset: str) -> Params:
    """Check a merged tree; ``preset`` is only named in messages."""
    try:
        params = Params.model_validate(tree)
    except ValidationError as error:
        lines = sorted({_explain(dict(item)) for item in error.errors()})
        raise UserError(
            f"params.yaml (with {preset}):\n" + "\n".join(f"  {line}" for line in lines)
        ) from None
    problems = list(_contradictions(params))
    if problems:
        raise UserError(f"params.yaml (with {preset}):\n" + "\n".join(f"  {line}" for line in problems))
    return params


def _contradictions(params: Params) -> list[str]:
    """Mistakes that no single key shows."""
    problems = []
    known = sorted(params.methods)
    for role, wants_alw in (("baselines", False), ("distilled", True)):
        for name in getattr(params.grid, role):
            if name not in params.methods:
                problems.append(f"grid.{role}: there is no block methods.{name}{did_you_mean(name, known)}")
            elif (params.methods[name].alw is not False) != wants_alw:
                other = "distilled" if not wants_alw else "baselines"
                problems.append(
                    f"methods.{name}.alw: is {'false' if wants_alw else 'on'}, so {name} belongs into "
                    f"grid.{other}, not grid.{role} (only stages of grid.distilled depend on alw)"
                )
    for name in params.grid.distilled:
        schedule = params.methods[name].schedule(params.alw) if name in params.methods else None
        if schedule and schedule.scope == "paper" and "kd" not in params.methods[name].weights:
            problems.append(
                f"alw.scope: paper lets only the term kd begin at full weight, and methods.{name} has none: "
                "nothing would be learned in the first epoch; set it to teacher"
            )
    if params.data.holdout and params.data.splits.validation is not None:
        problems.append(f"data.holdout: {params.dataset} has a validation split; set it to 0")
    for role in ("students", "baselines", "distilled", "seeds"):
        values = getattr(params.grid, role)
        if len(set(values)) < len(values):
            problems.append(f"grid.{role}: lists a value twice: {values}")
    for name in sorted(set(params.grid.baselines) & set(params.grid.distilled)):
        problems.append(f"grid: {name} stands in baselines and in distilled; a method runs once")
    for name in params.grid.students:
        if name not in params.networks.students:
            problems.append(
                f"grid.students: there is no block networks.students.{name}"
                f"{did_you_mean(name, sorted(params.networks.students))}"
            )
    for role in ("teacher", "train"):
        if getattr(params, role).select == "best_val" and not has_validation(params.data):
            problems.append(
                f"{role}.select: best_val needs a validation split: set data.holdout (training images)"
            )
    return problems


def has_validation(data: Data) -> bool:
    """Whether there are validation images: a published split, or some held out of training."""
    return data.splits.validation is not None or data.holdout > 0


def merge(preset: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """``written`` over ``preset``, block by block; a written null leaves the preset's value."""
    merged = dict(preset)
    for key, value in written.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers (``1e-3`` is a float, as DVC reads it), and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise UserError(
                    f"{node.start_mark.name}: line {key_node.start_mark.line + 1}: {key} is given twice"
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        UserError: The file is missing, is not YAML, or holds something else.
    """
    try:
        with path.open(encoding="utf-8") as file:
            value = yaml.load(file, Loader=_Loader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the root of the repository") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: must hold key: value lines, holds {type(value).__name__}")
    return value


def _explain(error: dict[str, Any]) -> str:
    """One line for one of pydantic's findings."""
    location = [str(part) for part in error["loc"]]
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        location = _without_union_tags(location)
        known = _keys_at(Params, location[:-1])
        return f"{'.'.join(location)}: unknown key{did_you_mean(location[-1], known)}"
    path = ".".join(_without_union_tags(location))
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'|(\b\d+\b)", error["ctx"]["expected"])
        known = [text or number for text, number in choices]
        return f"{path}: {given!r} is not a choice{did_you_mean(str(given), known)}"
    if kind == "missing":
        return f"{path}: missing, and the preset does not set it either"
    if given is None:
        return f"{path}: null here and in the preset; give a value ({error['msg'].lower()})"
    return f"{path}: {error['msg'].removeprefix('Value error, ')}, got {given!r}"


def _without_union_tags(location: list[str]) -> list[str]:
    """Pydantic names the tried member of a union, which is no key of the file."""
    return [
        part
        for part in location
        if not re.match(r"^(bool|str|int|float|AlwChanges|constrained-.*|literal\[.*|\[key\])$", part)
    ]


def _keys_at(annotation: Any, location: list[str]) -> list[str]:  # noqa: ANN401 - any type annotation
    """The keys allowed by the block at ``location`` below ``annotation``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not location:
            return sorted(annotation.model_fields)
        return _keys_at(annotation.model_fields[location[0]].annotation, location[1:])
    members = get_args(annotation)
    if get_origin(annotation) is dict:
        return _keys_at(members[1], location[1:])
    if get_origin(annotation) is list:
        return _keys_at(members[0], location[1:])
    return next((keys for member in members if (keys := _keys_at(member, location))), [])
