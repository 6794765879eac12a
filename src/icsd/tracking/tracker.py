"""The tracker that writes a journal and mirrors it to MLflow."""

import importlib
import os
import re
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from icsd.files import copy_file
from icsd.importing import uncollected
from icsd.tracking.base import ModelSpec, NullTracker, Status
from icsd.tracking.delivery import Delivery
from icsd.tracking.journal import Journal
from icsd.tracking.messages import log
from icsd.tracking.patience import PATIENCE
from icsd.tracking.run import RunDescription
from icsd.tracking.system import SystemSampler
from icsd.tracking.values import TAG_LENGTH, flatten, safe_key, shortened, thumbnail, to_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

_SIGTERM_EXIT = 128 + signal.SIGTERM
_SECONDS_TO_END_WHEN_KILLED = 2.0
_SECONDS_FOR_OTHERS = 5.0  # a delivery that uses MLflow may be under way
_MODELS = "mlflow.pytorch"

Arguments = ParamSpec("Arguments")


def _harmless(
    method: Callable[Concatenate["MlflowTracker", Arguments], None],
) -> Callable[Concatenate["MlflowTracker", Arguments], None]:
    """Turn a method's errors into warnings, since no record is worth a result; forks record nothing."""

    @wraps(method)
    def guarded(self: "MlflowTracker", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if self.process != os.getpid():  # a fork has neither the threads nor the locks
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # a full disk, a missing file, a figure that cannot be drawn
            log.warning("tracking: %s is left out: %s", method.__name__.strip("_"), error)

    return guarded


class MlflowTracker:
    """Records one run in a journal, from which a thread mirrors it to MLflow.

    Created by ``open_tracker`` and ``open_parent``. No call fails or waits because of the tracking server or
    the disk. As a context manager it ends the run: FINISHED, FAILED after an exception, KILLED after Ctrl-C
    or SIGTERM.

    Args:
        root: The repository.
        run: The run.
        journal: Its journal, which has the description of the run.
        lock: The journal's lock, already held; released when the run is closed and delivered.
        amend: Only add to a run that has ended.
        system_metrics: Sample processor and memory with each ``log``.
    """

    def __init__(
        self,
        root: Path,
        run: RunDescription,
        journal: Journal,
        lock: FileLock,
        *,
        amend: bool,
        system_metrics: bool,
    ) -> None:
        self.process = os.getpid()
        self.key = run.key
        self._state = journal.folder
        self._amend = amend
        self._closed = self._has_images = False
        self._journal = journal
        self._delivery = Delivery(root, run, journal, lock)
        self._system = SystemSampler() if system_metrics else None
        self._last_step = 0
        self._previous_handler: Any = None

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow, after a brief wait; None if there is none yet."""
        return self._delivery.run_id()

    @_harmless
    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; nested mappings become dotted names, long values are cut."""
        self._record("params", values=flatten(values))

    @_harmless
    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics after ``step`` epochs, with a sample of the machine's load.

        Logging the same point again adds nothing.
        """
        self._last_step = step
        points = {safe_key(key): float(value) for key, value in metrics.items()}
        points |= self._system.sample() if self._system else {}
        if new := self._journal.unknown(points, step):
            self._record("metrics", time=_now(), step=step, values=new)

    @_harmless
    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        cut = {safe_key(key): shortened(value, TAG_LENGTH) for key, value in values.items()}
        self._record("tags", values=cut)

    @_harmless
    def dataset(self, name: str, *, digest: str, source: str, context: str) -> None:
        """Record which data the run used, and for what (``context``: "training", "testing", …)."""
        self._record("dataset", name=name, digest=digest, source=source, context=context)

    @_harmless
    def image(self, picture: "Figure | npt.NDArray[np.uint8]", *, key: str, step: int) -> None:
        """Record an image at a step: a figure, or uint8 pixels [H, W], [H, W, 3] or [H, W, 4].

        Logging it again at the same step replaces the first. MLflow's pages open at step 0 and stay empty
        there unless an image was recorded for that step.
        """
        key = re.sub(r"[^\w\-./ ]", "_", key)
        known = self._journal.image(key, step)
        full, small = known["files"] if known else _image_files(key, step)
        image = to_image(picture)
        (self._state / full).parent.mkdir(exist_ok=True)
        image.save(self._state / full)
        thumbnail(image).save(self._state / small)
        self._record("image", key=key, step=step, files=[full, small])
        if not self._has_images:
            self._has_images = True
            self._record("tags", values={"mlflow.loggedImages": "True"})

    @_harmless
    def artifact(self, path: Path, *, folder: str = "") -> None:
        """Store a copy of a file or a folder among the run's artifacts, under ``folder``."""
        copy = self._place_for(Path(folder) / path.name)
        if path.is_dir():
            shutil.copytree(path, copy, dirs_exist_ok=True)
        else:
            copy_file(path, copy)
        self._record("artifact", path=self._relative(copy), folder=folder)

    @_harmless
    def text(self, content: str, name: str) -> None:
        """Store a text among the run's artifacts."""
        path = self._place_for(Path(name))
        path.write_text(content, encoding="utf-8", errors="replace")
        self._record("artifact", path=self._relative(path), folder="")

    @_harmless
    def model(self, network: "nn.Module", spec: ModelSpec) -> None:
        """Store a network as a program from RGB images to logits; see ``icsd.tracking.models``."""
        _load_models()
        from icsd.tracking.models import save_model

        key = uuid4().hex
        path = self._place_for(Path("models") / key)
        save_model(network, path, spec)
        self._record("model", name=spec.name, model_key=key, path=self._relative(path), step=self._last_step)

    @_harmless
    def rewind(self, step: int) -> None:
        """Drop points after ``step`` epochs that were not sent yet, for a training that resumes there."""
        self._journal.rewind(step)
        self._delivery.wake()

    @_harmless
    def close(self, status: Status = "FINISHED") -> None:
        """End the run; records that are not delivered soon stay on disk for ``deliver_pending``."""
        if self._closed:
            return
        self._closed = True
        kind = "settle" if self._amend else "end"
        self._journal.append({"kind": kind, "status": status, "time": _now()})
        at_most = _SECONDS_TO_END_WHEN_KILLED if status == "KILLED" else None
        if not self._delivery.finish(at_most):
            PATIENCE.left()

    def __enter__(self) -> Self:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._previous_handler = signal.signal(signal.SIGTERM, _exit_on_sigterm)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGTERM, self._previous_handler)
        self.close(_status(error))

    def _record(self, kind: str, **content: object) -> None:
        self._journal.append({"kind": kind, **content})
        self._delivery.wake()

    def _place_for(self, file: Path) -> Path:
        """Path of the journal's copy of a file, which is kept until it is delivered."""
        path = self._state / "files" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._state))


Tracker = MlflowTracker | NullTracker
"""Records one run, or nothing if tracking is off."""


def _load_models() -> None:
    """Import MLflow's model export; not while a delivery imports MLflow, since imports would be circular."""
    if _MODELS not in sys.modules:
        free = PATIENCE.in_mlflow.acquire(timeout=_SECONDS_FOR_OTHERS)
        try:
            with warnings.catch_warnings(), uncollected():
                warnings.simplefilter("ignore")  # from MLflow's imports, not about the network
                importlib.import_module(_MODELS)
        finally:
            if free:
                PATIENCE.in_mlflow.release()


def _image_files(key: str, step: int) -> tuple[str, str]:
    """File names of an image and its thumbnail, from which MLflow's pages read key, step and time."""
    parts = [key.replace("/", "~"), "step", str(step), "timestamp", str(_now()), str(uuid4())]
    stem = f"images/{'+'.join(parts)}"
    return f"{stem}.png", f"{stem}+compressed.webp"


def _status(error: BaseException | None) -> Status:
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "FINISHED"
    terminated = isinstance(error, SystemExit) and error.code == _SIGTERM_EXIT
    return "KILLED" if terminated or isinstance(error, KeyboardInterrupt) else "FAILED"


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_SIGTERM_EXIT)


def _now() -> int:
    return int(time.time() * 1000)
