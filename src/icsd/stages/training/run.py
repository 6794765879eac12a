"""Stages ``train_teacher``, ``distill`` and ``baselines``: one network from data to weights."""

import csv
import math
import platform
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from icsd import tracking
from icsd.core import metrics
from icsd.core.seeds import seed_at
from icsd.core.weighting import Alw, term_weights
from icsd.data.loaders import EvalBatches, TrainBatches
from icsd.data.shards import ShardedSplit, read_manifest
from icsd.data.transforms import augment, prepare
from icsd.datasets import DATASETS
from icsd.errors import UserError, did_you_mean
from icsd.files import sha256_of, write_json
from icsd.methods import build_method
from icsd.models import DeepLabV3Plus, build_network
from icsd.models.weights import load_network, save_weights
from icsd.monitoring.health import health_warnings, keep_compiled_graphs
from icsd.monitoring.probe import SimilarityCourse, SimilarityProbe
from icsd.params import Params, Runtime, Training, digest_of
from icsd.records import Provenance
from icsd.runs import RunKey, data_folder, main_root
from icsd.stages.chosen_weights import weights_source
from icsd.stages.device import accelerator, device_name
from icsd.stages.grid import teacher_key
from icsd.stages.provenance import provenance_of
from icsd.stages.recording.pictures import ics_picture
from icsd.stages.validate import checked_params
from icsd.training.checkpoint import exclusive, load_state, save_state
from icsd.training.distiller import Distiller
from icsd.training.loop import Progress, Schedule, fit
from icsd.training.optim import build_sgd
from icsd.training.validation import validation_confusion

ALW_ARGUMENTS = {
    "exponential": ("rate",),
    "polynomial": ("power",),
    "step": ("steps",),
    "constant": ("constant",),
}
"""Decay -> the keys of ``alw`` that it uses beside ``scope``."""
CHECKPOINT = "checkpoint.pt"
"""What an interrupted run goes on from, in its state folder."""


@dataclass(frozen=True)
class Job:
    """One network to train: who it is, and the numbers that determine it."""

    params: Params
    key: RunKey
    training: Training
    width: float
    block: dict[str, Any]
    weights_source: str | None = None
    """Where the method's weights come from, in words; see ``icsd.stages.chosen_weights``."""

    @property
    def alw(self) -> Alw | None:
        """The schedule, where the method runs under ALW."""
        if self.key.is_teacher:
            return None
        schedule = self.params.methods[self.key.method].schedule(self.params.alw)
        return Alw(**schedule.model_dump()) if schedule else None

    @property
    def health_steps(self) -> int:
        """Steps of an epoch on which the gradients of the loss terms are compared."""
        return 0 if self.key.is_teacher else self.params.monitor.health_steps

    @property
    def similarity_every(self) -> int:
        """Epochs between two looks at the student's similarity matrix; 0 for none."""
        return 0 if self.key.is_teacher else self.params.monitor.similarity_every

    @property
    def numbers(self) -> dict[str, Any]:
        """The parameter blocks that determine the run, as they are recorded."""
        params = self.params
        numbers: dict[str, Any] = {
            "dataset": params.dataset,
            "data": params.data.model_dump(exclude={"source", "sources"}),
            "images": params.images.model_dump(),
            "network": {
                "backbone": self.key.network,
                "width": self.width,
                "output_stride": params.networks.output_stride,
                "pretrained": params.networks.pretrained,
            },
            "training": self.training.model_dump(),
            "seed": self.key.seed,
        }
        if not self.key.is_teacher:
            numbers["method"] = self.block
        if self.alw:
            numbers["alw"] = asdict(self.alw)
        return numbers


def train_teacher(root: Path) -> None:
    """Train the teacher that params.yaml describes, or go on with it."""
    _train(root, teacher_job(checked_params(root)))


def train_student(root: Path, *, method: str, student: str, seed: int) -> None:
    """Train one student of the grid, or go on with it.

    Raises:
        UserError: The method or the student has no block in params.yaml.
    """
    params = checked_params(root)
    for name, blocks, path in (
        (method, params.methods, "methods"),
        (student, cast(dict[str, Any], params.networks.students), "networks.students"),
    ):
        if name not in blocks:
            raise UserError(
                f"there is no block {path}.{name} in params.yaml{did_you_mean(name, sorted(blocks))}"
            )
    job = student_job(params, RunKey(params.dataset, method, student, seed))
    _train(root, replace(job, weights_source=weights_source(root, params, method=method, student=student)))


def train_trial(
    root: Path, job: Job, *, open_tracker: Callable[[Path], tracking.Tracker]
) -> list[dict[str, float]]:
    """Train a student for its curves alone, or go on with it: nothing of the pipeline is written.

    Args:
        root: The repository.
        job: The student.
        open_tracker: Opens the record of this training; called with the folder for its journal.

    Returns:
        A row per epoch, as in history.csv.
    """
    run = _start(root, job)
    with exclusive(run.state):
        loop = _set_up(run)
        with open_tracker(run.state / "tracking") as tracker:
            _fit(run, loop, tracker)
    return loop.progress.history


def teacher_job(params: Params) -> Job:
    """The teacher that params.yaml describes."""
    width = params.networks.teacher.width
    return Job(params, teacher_key(params), params.teacher, width, {"alw": False, "weights": {}})


def student_job(params: Params, key: RunKey) -> Job:
    """A student whose method and network have their blocks in params.yaml."""
    width = params.networks.students[cast(Any, key.network)].width
    return Job(params, key, params.train, width, params.methods[key.method].block)


@dataclass(frozen=True)
class _Run:
    """A job under way in this process."""

    root: Path
    job: Job
    fabric: Fabric
    provenance: Provenance
    state: Path

    @property
    def checkpoint(self) -> Path:
        """What an interrupted run goes on from."""
        return self.state / CHECKPOINT


@dataclass(frozen=True)
class _Loop:
    """What a run trains, with what, and how far it has come."""

    distiller: Distiller
    optimizer: torch.optim.SGD
    wrapped: tuple[Any, Any]
    """The distiller and the optimiser as Fabric runs them."""
    batches: TrainBatches
    schedule: Schedule
    progress: Progress
    probe: SimilarityProbe | None
    """On the first rank of a student, where ``monitor.similarity_every`` asks for it."""


def _train(root: Path, job: Job) -> None:
    run = _start(root, job)
    if run.fabric.is_global_zero:
        with exclusive(run.state):
            run.fabric.barrier()
            _train_in(run)
    else:
        run.fabric.barrier()  # behind the first rank, which holds the lock
        _train_in(run)


def _start(root: Path, job: Job) -> _Run:
    runtime = job.params.runtime
    torch.set_num_threads(runtime.threads)
    fabric = _start_fabric(runtime)
    provenance = provenance_of(root, job.params, job.key)
    return _Run(root, job, fabric, provenance, state=job.key.state(identity_of(job, provenance)))


def _train_in(run: _Run) -> None:
    started = datetime.now(UTC)
    root, job, fabric = run.root, run.job, run.fabric
    loop = _set_up(run)
    with _open_tracker(root, job, run.state, active=fabric.is_global_zero) as tracker:
        try:
            _fit(run, loop, tracker)
            diverged = None
        except FloatingPointError as error:
            if job.key.is_teacher:
                raise
            diverged = str(error)
        if fabric.is_global_zero:
            if diverged:
                _warn_of_divergence(job, diverged, tracker)
            else:
                _warn_of_health(job, loop.progress, tracker)
            _write_outputs(run, loop, diverged)
            _write_cost(run, loop, tracker, started)
            for path in sorted((root / job.key.folder).iterdir()):
                tracker.artifact(path)
            if diverged:
                tracker.close("FAILED")
    fabric.barrier()


def _set_up(run: _Run) -> _Loop:
    root, job, fabric = run.root, run.job, run.fabric
    distiller = _build(root, job)
    optimizer = build_sgd(
        distiller.student,
        distiller.method,
        lr=job.training.lr,
        head_lr_factor=job.training.head_lr_factor,
        momentum=job.training.momentum,
        nesterov=job.training.nesterov,
        weight_decay=job.training.weight_decay,
    )
    _to_device(distiller, fabric, channels_last=job.params.runtime.channels_last)
    module, wrapped_optimizer = fabric.setup(_compiled(distiller, job), optimizer)
    # After the set-up: an optimiser loads its momentum to where its parameters are, the device by now.
    progress = _restore(load_state(run.checkpoint), distiller, optimizer)
    batches = _train_batches(root / data_folder(job.params.dataset), job, fabric)
    schedule = _schedule(job, steps=batches.steps_per_epoch, fabric=fabric)
    probe = _probe(run, distiller.teacher)
    return _Loop(distiller, optimizer, (module, wrapped_optimizer), batches, schedule, progress, probe)


def _fit(run: _Run, loop: _Loop, tracker: tracking.Tracker) -> None:
    """Train to the last epoch: after each, first the record and then the checkpoint."""
    job, fabric, distiller = run.job, run.fabric, loop.distiller
    data = run.root / data_folder(job.params.dataset)
    tracker.rewind(loop.progress.epoch)
    _describe(tracker, job, data)
    for row in loop.progress.history:  # a point that is already there is not recorded twice
        tracker.log(_tracked(row), int(row["epoch"]))

    def on_epoch(progress: Progress) -> None:
        tracker.log(_tracked(progress.history[-1]), progress.epoch)
        if fabric.is_global_zero:
            save_state(_state_of(distiller, loop.optimizer, progress), run.checkpoint)
        fabric.barrier()

    fit(
        fabric,
        *loop.wrapped,
        loop.progress,
        student=distiller.student,
        schedule=loop.schedule,
        batches=loop.batches.epoch,
        weights=partial(
            term_weights,
            epochs=job.training.epochs,
            terms=distiller.terms[1:],
            weights=job.block["weights"],
            alw=job.alw,
        ),
        validate=_validation(data, job, distiller.student, fabric),
        probe=partial(_look, run, loop, tracker),
        on_epoch=on_epoch,
    )


def _look(run: _Run, loop: _Loop, tracker: tracking.Tracker, finished: int) -> dict[str, float]:
    """After ``finished`` epochs: the similarity's distance to the teacher's where this epoch is looked at."""
    job = run.job
    due = loop.probe and (finished % job.similarity_every == 0 or finished == job.training.epochs)
    if loop.probe is None or not due or (found := loop.probe.measure(loop.distiller.student)) is None:
        return {}
    matrix, distance = found
    course = loop.progress.similarity
    course.epochs.append(finished)
    course.matrices.append(matrix)
    course.distances.append(distance)
    row = {"similarity/distance": distance}
    if job.params.tracking.enabled:
        if finished == 0:  # no row of the history is of this time
            tracker.log(row, 0)
        picture = ics_picture(
            matrix.numpy(),
            cast(torch.Tensor, loop.probe.teacher_matrix).numpy(),
            DATASETS[job.params.data.reader].classes,
            title=f"{job.key.title} · epoch {finished} · distance {distance:.3g}",
        )
        tracker.image(picture, key="similarity/ics", step=finished)
    return row


def _probe(run: _Run, teacher: nn.Module | None) -> SimilarityProbe | None:
    """Over validation images, which train no weight and give no reported score, where there are any."""
    job, fabric = run.job, run.fabric
    if not (job.similarity_every and fabric.is_global_zero):
        return None
    if teacher is None:  # the student alone is compared with the teacher that it does not see
        teacher = load_network(run.root / teacher_key(job.params).weights).to(fabric.device).eval()
    split = ShardedSplit(run.root / data_folder(job.params.dataset), _probe_split(run))
    batches = EvalBatches(split, partial(prepare, input_scale=job.params.images.input_scale))
    images = islice(batches, job.params.monitor.similarity_images)
    return SimilarityProbe(images, teacher=teacher, device=fabric.device)


def _probe_split(run: _Run) -> str:
    splits = read_manifest(run.root / data_folder(run.job.params.dataset))["splits"]
    return "validation" if "validation" in splits else "train"


def _start_fabric(runtime: Runtime) -> Fabric:
    strategy = "ddp" if runtime.devices not in (1, "auto") or runtime.num_nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator(runtime),
        devices=runtime.devices,
        num_nodes=runtime.num_nodes,
        precision=runtime.precision,
        strategy=strategy,
    )
    fabric.launch()
    on_cpu = fabric.device.type == "cpu"
    torch.use_deterministic_algorithms(on_cpu)
    # It fills memory that nothing reads, and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not on_cpu
    return fabric


def identity_of(job: Job, provenance: Provenance) -> str:
    """Hash of all that determines a run's result: it never goes on with other numbers, data or code."""
    runtime = job.params.runtime.model_dump(exclude={"workers", "compile"})
    return digest_of(
        {
            "numbers": job.numbers,
            "runtime": runtime,
            "provenance": provenance.model_dump(),
            "torch": torch.__version__,
        }
    )


def _build(root: Path, job: Job) -> Distiller:
    """Networks and method; initial weights depend on seed and backbone alone, so all methods share them."""
    params, key = job.params, job.key
    torch.manual_seed(seed_at(key.seed, "init", key.network))
    student = build_network(
        key.network,
        num_classes=params.data.classes,
        width=job.width,
        output_stride=params.networks.output_stride,
        pretrained=params.networks.pretrained,
    )
    if key.is_teacher:
        return Distiller(student, teacher=None, method=None)
    teacher = load_network(root / teacher_key(params).weights)
    torch.manual_seed(seed_at(key.seed, "adapters", key.method))
    method = build_method(
        key.method,
        job.block,
        student_channels=student.channels,
        teacher_channels=teacher.channels,
        num_classes=params.data.classes,
    )
    return Distiller(student, teacher=teacher if method is not None else None, method=method)


def _to_device(distiller: Distiller, fabric: Fabric, *, channels_last: bool) -> None:
    """Fabric moves what is in the module tree; the teacher beside it is moved here."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    distiller.student.to(memory_format=layout)
    if distiller.teacher is not None:
        distiller.teacher.to(fabric.device).to(memory_format=layout)


def _compiled(distiller: Distiller, job: Job) -> nn.Module:
    if not job.params.runtime.compile:
        return distiller
    if job.health_steps:
        keep_compiled_graphs()
    return cast(nn.Module, torch.compile(distiller))


def _restore(saved: dict[str, Any] | None, distiller: Distiller, optimizer: torch.optim.SGD) -> Progress:
    if saved is None:
        return Progress()
    distiller.load_state_dict(saved["distiller"])
    optimizer.load_state_dict(saved["optimizer"])
    progress = Progress(**saved["progress"] | {"similarity": SimilarityCourse(**saved["similarity"])})
    progress.resumed += 1
    print(f"going on after epoch {progress.epoch}", flush=True)
    return progress


def _state_of(distiller: Distiller, optimizer: torch.optim.SGD, progress: Progress) -> dict[str, Any]:
    return {
        "distiller": distiller.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": {name: value for name, value in vars(progress).items() if name != "similarity"},
        "similarity": vars(progress.similarity),
    }


def _train_batches(data: Path, job: Job, fabric: Fabric) -> TrainBatches:
    images = job.params.images
    transform = partial(
        augment,
        crop=(images.crop[0], images.crop[1]),
        scale=(images.scale[0], images.scale[1]),
        input_scale=images.input_scale,
        flip=images.flip,
        blur=images.blur,
        colour=images.colour,
    )
    return TrainBatches(
        ShardedSplit(data, "train"),
        transform,
        batch=job.training.batch,
        micro_batches=_micro_batches(job, fabric),
        rank=fabric.global_rank,
        world=fabric.world_size,
        seed=job.key.seed,
        workers=job.params.runtime.workers,
        pin_memory=fabric.device.type == "cuda",
    )


def _micro_batches(job: Job, fabric: Fabric) -> int:
    """Forward passes of a process per step, so that none is larger than ``runtime.max_batch_per_device``."""
    largest = job.params.runtime.max_batch_per_device
    return math.ceil(job.training.batch / fabric.world_size / largest) if largest else 1


def _schedule(job: Job, *, steps: int, fabric: Fabric) -> Schedule:
    training = job.training
    return Schedule(
        epochs=training.epochs,
        steps=steps,
        micro_batches=_micro_batches(job, fabric),
        lr=training.lr,
        poly_power=training.poly_power,
        clip_norm=training.clip_norm,
        validate_every=training.validate_every,
        select=training.select,
        health_steps=job.health_steps,
        seed=job.key.seed,
    )


def _validation(data: Path, job: Job, student: nn.Module, fabric: Fabric) -> Any:  # noqa: ANN401 - callable or None
    if "validation" not in read_manifest(data)["splits"]:
        return None
    batches = EvalBatches(
        ShardedSplit(data, "validation"),
        partial(prepare, input_scale=job.params.images.input_scale),
        rank=fabric.global_rank,
        world=fabric.world_size,
    )

    def validate() -> dict[str, float]:
        counts = validation_confusion(
            student, batches, num_classes=job.params.data.classes, device=fabric.device
        )
        confusion = cast(torch.Tensor, fabric.all_reduce(counts, reduce_op="sum")).cpu().numpy()
        return {
            "miou": metrics.mean_iou(confusion),
            "pixel_accuracy": metrics.pixel_accuracy(confusion),
            "class_accuracy": metrics.mean_class_accuracy(confusion),
        }

    return validate


def _open_tracker(root: Path, job: Job, state: Path, *, active: bool) -> tracking.Tracker:
    params, key = job.params, job.key
    stage = "train_teacher" if key.is_teacher else ("distill" if job.block["alw"] else "baselines")
    return tracking.open_tracker(
        root=root,
        experiment=f"icsd-{params.dataset}",
        group=tracking.group_id(params.digest()),
        name=key.title,
        tags={
            "icsd.kind": "teacher" if key.is_teacher else "student",
            "icsd.method": key.method,
            "icsd.student": key.network,
            "icsd.seed": str(key.seed),
            "icsd.dataset": params.dataset,
            "icsd.stage_name": stage,
        },
        state=state / "tracking",
        enabled=active and params.tracking.enabled,
        system_metrics=params.tracking.system_metrics,
    )


def _describe(tracker: tracking.Tracker, job: Job, data: Path) -> None:
    tracker.params(_shown(job.numbers))
    digest = sha256_of(data / "manifest.json")[:32]
    tracker.dataset(job.params.dataset, digest=digest, source=job.params.data.reader, context="training")


def _shown(numbers: dict[str, Any]) -> dict[str, Any]:
    """The parameters that people compare runs by: MLflow prints all of a run's above each of its pictures.

    Without what defines the dataset (its digest is the run's input), and what the decay does not use;
    train.json has every one.
    """
    found = {name: block for name, block in numbers.items() if name != "data"}
    if "alw" in found:
        used = {"decay", "scope", *ALW_ARGUMENTS.get(found["alw"]["decay"], ())}
        found["alw"] = {key: value for key, value in found["alw"].items() if key in used}
    return found


def _tracked(row: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "epoch"}


def _warn_of_health(job: Job, progress: Progress, tracker: tracking.Tracker) -> None:
    if sentences := health_warnings(progress.history, method=job.key.method):
        print(*(f"warning: {sentence}" for sentence in sentences), sep="\n", flush=True)
        tracker.tags({"icsd.loss_health": "; ".join(sentences)})


def _warn_of_divergence(job: Job, message: str, tracker: tracking.Tracker) -> None:
    print(f"warning: {job.key.title} diverged in {message}; the report will show a gap", flush=True)
    tracker.tags({"icsd.diverged": message})


def _write_outputs(run: _Run, loop: _Loop, diverged: str | None) -> None:
    """Weights, curves and description: the same bytes whenever the run is repeated.

    A student that ``diverged`` keeps what it ended with, no epoch of it selected; its evaluation sees that.
    """
    root, job, progress, schedule = run.root, run.job, loop.progress, loop.schedule
    key, params = job.key, job.params
    student = cast(DeepLabV3Plus, loop.distiller.student)
    selected: int | None = progress.best_epoch if schedule.select == "best_val" else progress.epoch
    if diverged:
        selected = None
    elif schedule.select == "best_val":
        student.load_state_dict(cast(dict[str, torch.Tensor], progress.best_weights))
    save_weights(student, root / key.weights)
    _write_history(root / key.folder / "history.csv", progress.history)
    _write_similarity(run, loop)
    splits = read_manifest(root / data_folder(params.dataset))["splits"]
    kind: Literal["teacher", "student"] = "teacher" if key.is_teacher else "student"
    write_json(
        root / key.folder / "train.json",
        {
            "schema": 2,
            "kind": kind,
            "dataset": params.dataset,
            "method": None if key.is_teacher else key.method,
            "network": {
                "backbone": key.network,
                "width": job.width,
                "output_stride": params.networks.output_stride,
            },
            "seed": key.seed,
            "pretrained": params.networks.pretrained,
            "epochs": schedule.epochs,
            "batch": job.training.batch,
            "crop": params.images.crop,
            "num_train_images": len(splits["train"]["ids"]),
            "num_validation_images": len(splits["validation"]["ids"]) if "validation" in splits else 0,
            "selected": schedule.select,
            "selected_epoch": selected,
            "diverged": diverged,
            "weights_source": job.weights_source,
            "params": job.numbers,
            "provenance": run.provenance.model_dump(),
        },
    )


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    # A run that diverged in its first epoch has the column and no row.
    columns = list(dict.fromkeys(["epoch", *(key for row in history for key in row)]))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def _write_similarity(run: _Run, loop: _Loop) -> None:
    """The student's similarity matrices over its training; docs/results.md describes the arrays."""
    course, probe = loop.progress.similarity, loop.probe
    if probe is None or probe.teacher_matrix is None:
        return
    data = run.root / data_folder(run.job.params.dataset)
    num_images = run.job.params.monitor.similarity_images
    np.savez_compressed(
        run.root / run.job.key.folder / "similarity.npz",
        epochs=np.array(course.epochs, np.int64),
        student=torch.stack(course.matrices).numpy(),
        teacher=probe.teacher_matrix.numpy(),
        distance=np.array(course.distances),
        ids=np.array(ShardedSplit(data, _probe_split(run)).ids[:num_images]),
    )


def _write_cost(run: _Run, loop: _Loop, tracker: tracking.Tracker, started: datetime) -> None:
    """What is never the same twice, apart from the outputs that others depend on."""
    root, job, device = run.root, run.job, run.fabric.device
    progress, method = loop.progress, loop.distiller.method
    git = tracking.git_state(root)
    epochs = min(progress.epoch + 1, loop.schedule.epochs)  # where it diverged, that one was begun
    images = epochs * loop.schedule.steps * job.training.batch
    write_json(
        root / job.key.cost,
        {
            "seconds_training": progress.seconds,
            "seconds_per_epoch": progress.seconds / epochs,
            "images_per_second": images / progress.seconds,
            "peak_memory_mb": _peak_memory_mb(device),
            "device": device_name(device),
            "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
            "extra_parameters": sum(p.numel() for p in method.parameters()) if method else 0,
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "resumed": progress.resumed,
            "mlflow": {
                "experiment": f"icsd-{job.params.dataset}",
                "run_id": tracker.run_id,
                "uri": _shown_uri(root),
            }
            if job.params.tracking.enabled
            else None,
            "git": {"commit": git.commit, "dirty": git.dirty},
            "state": str(run.state.relative_to(main_root())),
        },
    )


def _shown_uri(root: Path) -> str:
    """The store without the machine's path and without credentials: the file is shared."""
    uri, _ = tracking.store_location(root)
    if uri.startswith("sqlite:"):
        return "sqlite:///.mlflow/mlflow.db"
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _peak_memory_mb(device: torch.device) -> float:
    """Peak of the device's memory on CUDA, else of this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere
