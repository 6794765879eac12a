"""The tracker that writes a journal and mirrors it to MLflow."""

import re
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from icsd.tracking.base import ModelSpec, Status
from icsd.tracking.journal import Journal
from icsd.tracking.messages import log
from icsd.tracking.mirror import Mirror
from icsd.tracking.run import RunDescription
from icsd.tracking.system import SystemSampler
from icsd.tracking.values import TAG_LENGTH, chunks, flatten, safe_key, shortened, thumbnail, to_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

# Weights are written once and replaced whole: a second name is as good as a copy, and costs no space.
_LINK_FROM = 16_000_000
_SIGTERM_EXIT = 128 + signal.SIGTERM


class MlflowTracker:
    """A ``Tracker`` that records one run in ``state`` and mirrors it to MLflow.

    Made by ``open_tracker`` and ``open_parent``.

    Args:
        root: The repository.
        run: The run.
        state: Folder of the journal.
        lock: The journal's, already held; released when the run is closed.
        amend: Only add to a run that has ended.
        system_metrics: Sample processor and memory with each ``log``.
    """

    def __init__(
        self,
        root: Path,
        run: RunDescription,
        *,
        state: Path,
        lock: FileLock,
        amend: bool,
        system_metrics: bool,
    ) -> None:
        self._state = state
        self._amend = amend
        self._closed = False
        self._lock = lock
        self._journal = Journal(state)
        self._mirror = Mirror(root, run, self._journal)
        self._system = SystemSampler() if system_metrics else None
        self._last_step = 0
        self._previous_handler: Any = None

    def begin(self, *, resumed: bool) -> None:
        """Make the run, or set the one that was interrupted to RUNNING again."""
        if resumed and not self._amend:
            self._journal.append({"kind": "resume", "time": _now()})
        self._mirror.push(now=True)

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow; None until the server has been reached."""
        return self._mirror.run.run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters under dotted names."""
        for part in chunks(flatten(values)):
            self._record("params", values=part)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics after ``step`` epochs, with a sample of the machine's load."""
        self._last_step = step
        points = {safe_key(key): float(value) for key, value in metrics.items()}
        points |= self._system.sample() if self._system else {}
        if new := self._journal.unknown(points, step):
            self._record("metrics", time=_now(), step=step, values=new)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        for part in chunks({safe_key(key): shortened(value, TAG_LENGTH) for key, value in values.items()}):
            self._record("tags", values=part)

    def dataset(self, name: str, *, digest: str, source: str, context: str) -> None:
        """Record which data the run used."""
        self._record("dataset", name=name, digest=digest, source=source, context=context)

    def image(self, picture: "Figure | npt.NDArray[np.uint8]", *, key: str, step: int) -> None:
        """Record a picture; one logged again replaces the first."""
        key = re.sub(r"[^\w\-./ ]", "_", key)
        known = self._journal.image(key, step)
        full, small = known["files"] if known else _image_files(key, step)
        image = to_image(picture)
        (self._state / full).parent.mkdir(exist_ok=True)
        image.save(self._state / full)
        thumbnail(image).save(self._state / small)
        self._record("image", key=key, step=step, files=[full, small])

    def artifact(self, path: Path, *, folder: str = "") -> None:
        """Store a copy of a file or folder."""
        copy = self._place_for(Path(folder) / path.name)
        if path.is_dir():
            shutil.copytree(path, copy, dirs_exist_ok=True)
        elif path.stat().st_size > _LINK_FROM:
            copy.unlink(missing_ok=True)
            copy.hardlink_to(path)
        else:
            shutil.copy(path, copy)
        self._record("artifact", path=self._relative(copy), folder=folder)

    def model(self, network: "nn.Module", spec: ModelSpec) -> None:
        """Store a network as a torch.export program; one that cannot be exported is a warning."""
        from icsd.tracking.models import save_model

        key = uuid4().hex
        path = self._place_for(Path("models") / key)
        try:
            save_model(network, path, spec)
        except Exception as error:  # the stage writes the weights anyway; hours of training are not lost
            log.warning("the network cannot be exported as an MLflow model: %s", error)
            return
        self._record("model", name=spec.name, model_key=key, path=self._relative(path), step=self._last_step)

    def rewind(self, step: int) -> None:
        """Drop later points that have not been sent."""
        self._journal.rewind(step)

    def close(self, status: Status = "FINISHED") -> None:
        """End the run; records that cannot be sent now stay on disk for ``deliver_pending``."""
        if self._closed:
            return
        self._closed = True
        kind = "settle" if self._amend else "end"
        self._journal.append({"kind": kind, "status": status, "time": _now()})
        if self._mirror.push(now=True):
            shutil.rmtree(self._state / "files", ignore_errors=True)
            shutil.rmtree(self._state / "images", ignore_errors=True)
        self._lock.release()

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
        self._mirror.push()

    def _place_for(self, file: Path) -> Path:
        """Where the journal keeps its copy of a file until it is delivered."""
        path = self._state / "files" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._state))


def _image_files(key: str, step: int) -> tuple[str, str]:
    """A picture and its thumbnail, named as MLflow's pages expect: they read key, step and time from it."""
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
