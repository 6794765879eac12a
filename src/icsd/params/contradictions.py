"""Contradictions between keys, each of which is valid on its own."""

from collections.abc import Iterator

from icsd.errors import did_you_mean
from icsd.models.names import checked_backbone
from icsd.params.schema import Params, has_validation
from icsd.runs import TEACHER

LARGEST_STEP = 2**30
"""Largest number of pixels in a batch."""
SMALLEST_IMAGE = 8
"""Smallest side of an image, in pixels."""


def contradictions(params: Params) -> Iterator[str]:
    """Yield one line per mistake, with the key to change."""
    yield from _grid(params)
    yield from _networks(params)
    yield from _sizes(params)
    yield from _weighting(params)
    yield from _data(params)
    yield from _unlabelled(params)
    yield from _optimiser(params)
    yield from _own_teacher(params)
    yield from _deploy(params)


def _grid(params: Params) -> Iterator[str]:
    known = sorted(params.methods)
    if not params.grid.methods:
        yield "grid: neither baselines nor distilled names a method, so there is nothing to train"
    for role, wants_alw in (("baselines", False), ("distilled", True)):
        for name in getattr(params.grid, role):
            if name not in params.methods:
                yield f"grid.{role}: there is no block methods.{name}{did_you_mean(name, known)}"
            elif (params.methods[name].alw is not False) != wants_alw:
                other = "distilled" if not wants_alw else "baselines"
                yield (
                    f"methods.{name}.alw: is {'false' if wants_alw else 'on'}, so {name} belongs in "
                    f"grid.{other}, not grid.{role} (only stages of grid.distilled depend on alw)"
                )
    if TEACHER in params.methods:
        yield f"methods.{TEACHER}: the teacher's results have this name; choose another, with `method:`"
    for role in ("students", "baselines", "distilled", "seeds"):
        values = getattr(params.grid, role)
        if len(set(values)) < len(values):
            yield f"grid.{role}: lists a value twice: {values}"
    for name in sorted(set(params.grid.baselines) & set(params.grid.distilled)):
        yield f"grid: {name} is in both baselines and distilled; a method runs once"
    for name in params.grid.students:
        if name not in params.networks.students:
            yield (
                f"grid.students: there is no block networks.students.{name}"
                f"{did_you_mean(name, sorted(params.networks.students))}"
            )


def _networks(params: Params) -> Iterator[str]:
    blocks = {f"students.{name}": block for name, block in params.networks.students.items()}
    for place, block in {"teacher": params.networks.teacher, **blocks}.items():
        where = f"networks.{place}"
        library = block.library_name
        if library is None and block.backbone is None:
            try:
                checked_backbone(place.removeprefix("students."))
            except ValueError as error:
                yield f"{where}: its name {error}; or say what it is, with backbone or architecture"
        if library is None and block.taps:
            yield f"{where}.taps: DeepLabV3+ has every tap already; only a network of a library needs them"
        if library and block.output_stride and not library.startswith("smp:deeplabv3"):
            yield f"{where}.output_stride: {library} has no such setting; leave it empty"
        if library and library.startswith("smp:deeplabv3") and block.output_stride == 32:
            yield f"{where}.output_stride: {library} has 8 or 16"


def _sizes(params: Params) -> Iterator[str]:
    height, width = params.images.crop
    for role in ("teacher", "train"):
        batch = getattr(params, role).batch
        if (pixels := batch * height * width) > LARGEST_STEP:
            yield (
                f"{role}.batch: {batch} crops of {height} × {width} are {12 * pixels / 1e9:.0f} GB before "
                "the first layer; lower it, or images.crop"
            )
    generated, scale = params.data.generated, params.images.input_scale
    if generated and generated.size * scale < SMALLEST_IMAGE:
        yield (
            f"images.input_scale: {scale:g} leaves {generated.size * scale:.2g} of {generated.size} pixels; "
            f"at least {SMALLEST_IMAGE} are needed"
        )


def _weighting(params: Params) -> Iterator[str]:
    for name in params.grid.distilled:
        schedule = params.methods[name].schedule(params.alw) if name in params.methods else None
        if schedule and schedule.scope == "paper" and "kd" not in params.methods[name].weights:
            yield (
                f"alw.scope: paper lets only the term kd begin at full weight, and methods.{name} has none: "
                "nothing would be learned in the first epoch; set it to teacher"
            )


def _data(params: Params) -> Iterator[str]:
    if params.data.holdout and params.data.splits.validation is not None:
        yield f"data.holdout: {params.dataset} has a validation split; set it to 0"
    for role in ("teacher", "train"):
        if getattr(params, role).select == "best_val" and not has_validation(params.data):
            yield f"{role}.select: best_val needs a validation split: set data.holdout (training images)"


def _unlabelled(params: Params) -> Iterator[str]:
    training = params.train
    if not training.unlabelled:
        return
    if training.subset == "all":
        yield (
            "train.unlabelled: every training image has a label, since train.subset is all; set that to the "
            "number of images whose labels the students may see, or unlabelled to 0"
        )
    if training.batch < 2:
        yield "train.batch: half of it are images without labels (train.unlabelled); set it to 2 or more"


def _optimiser(params: Params) -> Iterator[str]:
    for role in ("teacher", "train"):
        training = getattr(params, role)
        if training.nesterov and training.optimizer != "sgd":
            yield f"{role}.nesterov: only SGD has it; set {role}.optimizer to sgd, or nesterov: false"
        elif training.nesterov and training.momentum == 0:
            yield f"{role}.nesterov: needs a momentum above 0; set {role}.momentum, or nesterov: false"


def _own_teacher(params: Params) -> Iterator[str]:
    network = params.networks.teacher
    if network.weights is None:
        # A pretrained transformers model includes its classifier, so it is a complete teacher.
        is_hf = (network.library_name or "").startswith("hf:")
        whole = is_hf and params.networks.start_of(network) is True
        if not params.teacher.train and not whole:
            yield (
                "teacher.train: false needs a teacher: name its file in networks.teacher.weights (or, of a "
                "model of transformers, set networks.teacher.pretrained: true)"
            )
        if network.classes is not None:
            yield "networks.teacher.classes: says what networks.teacher.weights stand for, and there are none"
    elif network.load == "partial" and not params.teacher.train:
        yield (
            "networks.teacher.load: partial leaves layers with random numbers, which nothing trains: set it "
            "to strict or unwrap, or teacher.train: true"
        )


def _deploy(params: Params) -> Iterator[str]:
    formats = params.deploy.formats
    if len(set(formats)) < len(formats):
        yield f"deploy.formats: lists a format twice: {formats}"
    if params.deploy.gate and not formats:
        yield (
            "deploy.gate: true asks what the champion's files score, and deploy.formats makes none; name a "
            "format there, or set gate to false"
        )
