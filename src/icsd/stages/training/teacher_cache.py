"""Where the teacher's logits are cached, and which runs use the cache.

The key of ``.state/teacher_logits/<key>/`` covers all that determines the logits but the epoch, so all
methods with the same seed share it, also in DVC's temporary experiments. Methods that read features of the
teacher run the teacher themselves.
"""

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from icsd.machine import processor
from icsd.methods import taps_of
from icsd.models.names import TAPS
from icsd.params import Params, digest_of
from icsd.runs import main_root, state_root
from icsd.stages.code import code_of_training
from icsd.stages.device import device_name
from icsd.stages.grid import teacher_key
from icsd.stages.initial_weights import digests_of_network
from icsd.stages.training.cache_space import Space
from icsd.stages.training.job import WITHOUT_EFFECT
from icsd.stages.training.process import Run
from icsd.stages.training.setup import Setup
from icsd.training.loop import Batches, Progress
from icsd.training.teacher_logits import TeacherLogits

FOLDER = "teacher_logits"


class Teaching:
    """The batches of a training, with the teacher's logits if these are cached.

    Attributes:
        logits: Reads and writes the cached logits; None if the teacher runs in the distiller.
    """

    def __init__(self, views: Callable[[int], Batches], logits: TeacherLogits | None, used: Path) -> None:
        self._views = views
        self._used = used
        self.logits = logits

    def epoch(self, epoch: int) -> Batches:
        """The batches of an epoch (from 0), as the distiller takes them."""
        if self.logits is None:
            return self._views(epoch)
        with suppress(OSError):  # the folder does not exist yet
            os.utime(self._used)
        return self.logits.epoch(epoch)

    def account(self, progress: Progress) -> None:
        """Add the time that the cache saved to ``progress``; called after each epoch."""
        if self.logits is not None:
            savings = self.logits.savings()
            progress.cached_epochs += savings.epochs
            progress.seconds_saved += savings.time.seconds
            progress.processor_saved += savings.time.processor


def teaching(run: Run, setup: Setup) -> Teaching:
    """The batches of a run. Before any logits are written, a line says where, and how large they are."""
    params, fabric, wanted = run.job.params, run.fabric, run.job.params.runtime.teacher_cache
    if (reason := _why_not(run, setup)) is not None:
        if wanted not in ("auto", "off") and not run.job.key.is_teacher:
            fabric.print(f"note: the teacher's logits are not kept: {reason}", flush=True)
        return Teaching(setup.batches.epoch, None, Path())
    keys = keys_of(run)
    folder = state_root() / FOLDER / keys[run.job.key.seed]
    rank, world = fabric.global_rank, fabric.world_size
    space = Space(
        folder,
        most=params.runtime.teacher_cache_gb * 1e9,
        processes=world,
        epochs=setup.schedule.epochs,
        asked_for=set(keys.values()),
        say=partial(fabric.print, flush=True),
    )

    def teach(images: Tensor) -> Tensor:
        with fabric.autocast():
            return setup.distiller.teach(images)["logits"]

    logits = TeacherLogits(
        folder,
        setup.batches.epoch,
        steps=setup.schedule.steps * setup.schedule.micro_batches,
        teach=teach,
        device=fabric.device,
        part=f"-{rank + 1}of{world}" if world > 1 else "",
        rounded=wanted == "float16",
        fills=wanted != "auto" or _is_shared(params, run.job.key.seed),
        room=space.refuse,
        say=partial(fabric.print, flush=True),
    )
    logits.round_or_refuse()
    if there := sum(logits.file(epoch).is_file() for epoch in range(setup.schedule.epochs)):
        fabric.print(
            f"the teacher's logits of {there} of {setup.schedule.epochs} epochs are read from "
            f"{folder.relative_to(main_root())}",
            flush=True,
        )
    return Teaching(setup.batches.epoch, logits, folder)


def _why_not(run: Run, setup: Setup) -> str | None:
    """Why the distiller has to run the teacher; None if it does not."""
    runtime, method = run.job.params.runtime, setup.distiller.method
    if method is None or runtime.teacher_cache == "off":
        return "no method reads it" if method is None else "it is off"
    if features := sorted(set(method.taps) - {"logits"}):
        return f"{run.job.key.method} reads {', '.join(features)} of the teacher, too"
    return "a compiled teacher gives other last digits (runtime.compile)" if runtime.compile else None


def _is_shared(params: Params, seed: int) -> bool:
    """Whether several trainings with this seed read the teacher's logits and none of its features."""
    if seed == params.tuning.seed:
        return params.tuning.trials > 1
    reading = [
        name
        for name in params.grid.methods
        if taps_of(name, params.methods[name].block, known=TAPS) == ("logits",)
    ]
    return seed in params.grid.seeds and len(reading) * len(params.grid.students) > 1


def keys_of(run: Run) -> dict[int, str]:
    """Seed -> digest of all that determines the teacher's logits but the epoch, for all seeds in use."""
    params, job, runtime = run.job.params, run.job, run.job.params.runtime
    determined: dict[str, Any] = {
        "teacher": run.provenance.teacher,
        "network": digests_of_network(run.root, params, teacher_key(params)),
        "data": run.provenance.data,
        "code": code_of_training(),
        "images": params.images.model_dump(),
        "subset": job.training.subset,
        "unlabelled": params.train.unlabelled,
        "batch": job.training.batch,
        "runtime": runtime.model_dump(exclude={*WITHOUT_EFFECT, "fused_optimizer"}),
        "rounded": runtime.teacher_cache == "float16",
        "processes": run.fabric.world_size,
        "device": device_name(run.fabric.device),
        "machine": [platform.machine(), processor(), torch.backends.cpu.get_cpu_capability()],
        "torch": [torch.__version__, torch.__config__.show()],
    }
    seeds = (job.key.seed, *params.grid.seeds, params.tuning.seed)
    return {seed: digest_of({**determined, "seed": seed}) for seed in seeds}
