"""The tracker that writes a journal and mirrors it to MLflow."""

import logging
import re
import shutil
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from icsd.tracking.base import Status
from icsd.tracking.journal import Journal
from icsd.tracking.mirror import Mirror
from icsd.tracking.records import TAG_LENGTH, chunks, flatten, safe_key, shortened, thumbnail, to_image
from icsd.tracking.store import RunDescription
from icsd.tracking.system import SystemSampler

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

_log = logging.getLogger("icsd.tracking")
# Weights are written once and replaced whole: a second name is as good as a copy, and costs no space.
_LINK_FROM = 16_000_000
_SIGTERM_EXIT = 128 + signal.SIGTERM
_LOCK_SECONDS = 60.0


class MlflowTracker:
    """Records one run in ``state`` and mirrors it to MLflow; made by ``open_tracker`` and ``open_parent``."""

    def __init__(
        self,
        *,
        root: Path,
        run: RunDescription,
        state: Path,
        lock: FileLock,
        amend: bool,
        system_metrics: bool,
        push_every: float,
        retry_after: float,
    ) -> None:
        self._state = state
        self._amend = amend
        self._closed = False
        self._lock = lock
        self._journal = Journal(state)
        self._mirror = Mirror(root, run, self._journal, every=push_every, retry_after=retry_after)
        self._system = SystemSampler() if system_metrics else None
        self._last_step = 0
        self._previous_handler: Any = None

    def begin(self, *, continued: bool) -> None:
        """Make the run, or set the one that was interrupted to RUNNING again."""
        if continued and not self._amend:
            self._journal.append({"kind": "resume", "time": _now()})
        self._mirror.push(now=True)

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow, None as long as the server has not been reached."""
        return self._mirror.run.run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters under dotted names."""
        for part in chunks(flatten(values)):
            self._journal.append({"kind": "params", "values": part})
        self._mirror.push()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics after ``step`` epochs, with a sample of the machine's load."""
        self._last_step = step
        points = {safe_key(key): float(value) for key, value in metrics.items()}
        points |= self._system.sample() if self._system else {}
        if new := self._journal.unknown(points, step):
            self._journal.append({"kind": "metrics", "time": _now(), "step": step, "values": new})
        self._mirror.push()

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        for part in chunks({safe_key(key): shortened(value, TAG_LENGTH) for key, value in values.items()}):
            self._journal.append({"kind": "tags", "values": part})
        self._mirror.push()

    def dataset(self, name: str, *, digest: str, source: str, context: str) -> None:
        """Record which data the run saw."""
        about = {"name": name, "digest": digest, "source": source, "context": context}
        self._journal.append({"kind": "dataset", **about})
        self._mirror.push()

    def image(self, picture: "Figure | npt.NDArray[np.uint8]", *, key: str, step: int) -> None:
        """Record a picture; one logged again replaces the first."""
        key = re.sub(r"[^\w\-./ ]", "_", key)
        known = self._journal.image(key, step)
        # The name is MLflow's: its pages read key, step and time from it.
        parts = [key.replace("/", "~"), "step", str(step), "timestamp", str(_now()), str(uuid4())]
        full, small = (
            known["files"]
            if known
            else (f"images/{'+'.join(parts)}{end}" for end in (".png", "+compressed.webp"))
        )
        image = to_image(picture)
        (self._state / full).parent.mkdir(exist_ok=True)
        image.save(self._state / full)
        thumbnail(image).save(self._state / small)
        self._journal.append({"kind": "image", "key": key, "step": step, "files": [full, small]})
        self._mirror.push()

    def figure(self, figure: "Figure", file: str) -> None:
        """Store a figure as an artifact."""
        path = self._copy_of(Path(file))
        figure.savefig(path, dpi=120, bbox_inches="tight")
        self._add_artifact(path, str(Path(file).parent))

    def artifact(self, path: Path, *, folder: str = "") -> None:
        """Store a copy of a file or folder."""
        copy = self._copy_of(Path(folder) / path.name)
        if path.is_dir():
            shutil.copytree(path, copy, dirs_exist_ok=True)
        elif path.stat().st_size > _LINK_FROM:
            copy.unlink(missing_ok=True)
            copy.hardlink_to(path)
        else:
            shutil.copy(path, copy)
        self._add_artifact(copy, folder)

    def model(
        self,
        network: "nn.Module",
        *,
        name: str,
        image: npt.NDArray[np.uint8],
        input_scale: float,
        mean: Sequence[float],
        std: Sequence[float],
        metadata: Mapping[str, Any],
    ) -> None:
        """Store a network as a torch.export program."""
        from icsd.tracking.models import save_model

        key = uuid4().hex
        path = self._copy_of(Path("models") / key)
        try:
            save_model(
                network, path, image=image, input_scale=input_scale, mean=mean, std=std, metadata=metadata
            )
        except (
            Exception
        ) as error:  # the weights are an output of the stage anyway; hours of training are not lost
            _log.warning("the network cannot be exported as an MLflow model: %s", error)
            return
        place = {"path": str(path.relative_to(self._state)), "step": self._last_step}
        self._journal.append({"kind": "model", "name": name, "model_key": key, **place})
        self._mirror.push()

    def rewind(self, step: int) -> None:
        """Forget later points that have not been sent."""
        self._journal.rewind(step)

    def close(self, status: Status = "FINISHED") -> None:
        """End the run; what cannot be sent now stays on disk for ``deliver_pending``."""
        if self._closed:
            return
        self._closed = True
        kind = "settle" if self._amend else "end"
        self._journal.append({"kind": kind, "status": status, "time": _now()})
        delivered = self._mirror.push(now=True)
        if delivered:
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

    def _copy_of(self, file: Path) -> Path:
        path = self._state / "files" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _add_artifact(self, path: Path, folder: str) -> None:
        place = str(path.relative_to(self._state))
        self._journal.append({"kind": "artifact", "path": place, "folder": "" if folder == "." else folder})
        self._mirror.push()


def _status(error: BaseException | None) -> Status:
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "FINISHED"
    terminated = isinstance(error, SystemExit) and error.code == _SIGTERM_EXIT
    return "KILLED" if terminated or isinstance(error, KeyboardInterrupt) else "FAILED"


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_SIGTERM_EXIT)


def _now() -> int:
    return int(time.time() * 1000)
