"""Cache of the teacher's logits, shared by runs: the first run writes an epoch's file, the others read it.

The views of an epoch depend only on the seed and the epoch, so a frozen teacher has the same logits for every
student. If a file cannot be used or written, the teacher runs instead, and training continues with the same
numbers: the cache changes where logits come from, never their values.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from icsd.training.logits_file import LogitsReader, LogitsWriter, can_hold, claim, file_bytes
from icsd.training.spent import Spent, now

Views = Callable[[int], Iterator[tuple[Tensor, Tensor]]]
"""Maps an epoch (from 0) to its micro-batches of images and labels."""
Room = Callable[[int], str | None]
"""Maps the size in bytes of a file to be written to the reason why there is no room for it, or to None."""

TRIED = 2
"""Number of batches on which rounded logits are compared before they are used."""
MOST_KL, LEAST_AGREEMENT = 1e-3, 0.995
"""Limits for rounded logits: the largest mean KL divergence per position from the teacher's, in nats, and the
smallest share of positions whose class does not change."""
OTHER_RUN = (1e-2, 0.98)
"""The same limits for logits that another run computed on a GPU, where sums are not reproducible."""
NOTICED = 1.0
"""Seconds per epoch below which a slow disk does not matter."""


@dataclass
class Savings:
    """What the cache saved since the last query.

    Attributes:
        epochs: Number of epochs whose logits were all read.
        time: Time saved: the teacher's time when the files were written, minus the time of reading and
            writing; negative if writing dominates.
    """

    epochs: int = 0
    time: Spent = field(default_factory=Spent)


class TeacherLogits:
    """Batches of training images together with the teacher's logits.

    Args:
        folder: Folder of the files, specific to everything that determines the logits except the epoch.
        views: The batches of an epoch.
        steps: Batches per epoch.
        teach: Computes the teacher's logits [B, C, h, w] of images on the device.
        device: Device of the networks.
        part: Suffix of the file names that identifies this process's part of the batches.
        rounded: Whether logits are rounded to float16, whether or not they come from a file.
        fills: Whether missing files are written.
        room: Decides whether a file may be written.
        say: Prints a line.
    """

    def __init__(
        self,
        folder: Path,
        views: Views,
        *,
        steps: int,
        teach: Callable[[Tensor], Tensor],
        device: torch.device,
        part: str = "",
        rounded: bool = False,
        fills: bool = True,
        room: Room = lambda _: None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._folder = folder
        self._views = views
        self._steps = steps
        self._teach = teach
        self._device = device
        self._part = part
        self._rounded = rounded
        self._fills = fills
        self._reads = True
        self._room = room
        self._say = say
        self._tried = False
        self._savings = Savings()

    def file(self, epoch: int) -> Path:
        """Path of the logits of an epoch (from 0)."""
        return self._folder / f"epoch-{epoch + 1:05d}{self._part}.logits"

    def savings(self) -> Savings:
        """Savings since the last call."""
        savings, self._savings = self._savings, Savings()
        return savings

    def epoch(self, epoch: int) -> Generator[tuple[Tensor, Tensor, Tensor]]:
        """Yield images and labels as the loader gives them, and the teacher's logits on the device."""
        views = self._views(epoch)
        reader = self._reader(epoch)
        if reader is not None:
            yield from self._read(reader, views, epoch)
        elif self._fills:
            yield from self._fill(views, epoch)
        for images, labels in views:  # the batches that are left
            yield images, labels, self._live(images)

    def round_or_refuse(self) -> None:
        """Check rounded logits on the first batches; turn rounding and files off if they differ too much."""
        for number, (images, _) in enumerate(self._views(0)):
            if number == TRIED or not self._rounded:
                break
            live = self._teach(images.to(self._device))
            if (reason := unfaithful(live.to(torch.float16), live)) is not None:
                self._rounded = self._reads = self._fills = False
                self._say(f"warning: the teacher's logits are not rounded to float16: {reason}")

    def _live(self, images: Tensor) -> Tensor:
        logits = self._teach(images.to(self._device))
        return logits.to(torch.float16) if self._rounded else logits

    def _reader(self, epoch: int) -> LogitsReader | None:
        if not self._reads:
            return None
        try:
            return LogitsReader(self.file(epoch), self._steps)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._drop(epoch, error)
            return None

    def _read(
        self, reader: LogitsReader, views: Iterator[tuple[Tensor, Tensor]], epoch: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the epoch's batches until its file turns out to be invalid."""
        took, taught = 0.0, reader.taught / self._steps
        try:
            for number, (images, labels) in enumerate(views, start=1):
                started = now()
                try:
                    logits = reader.read(images).to(self._device)
                    took += (now() - started).seconds
                    self._try(images, logits)
                except (OSError, ValueError) as error:
                    self._drop(epoch, error)
                    yield images, labels, self._live(images)
                    return
                self._savings.time += taught - (now() - started)
                self._savings.epochs += number == self._steps
                yield images, labels, logits
        finally:
            reader.close()
        if took > max(reader.taught.seconds, NOTICED):
            self._reads = self._fills = False
            self._say(
                f"note: reading the teacher's logits of epoch {epoch + 1} took {took:.2f} s, and the teacher "
                f"{reader.taught.seconds:.2f} s: it runs from now on"
            )

    def _try(self, images: Tensor, logits: Tensor) -> None:
        """Compare the first logits read by this process with those the teacher computes here.

        Raises:
            ValueError: They differ; no file is read or written from now on.
        """
        if self._tried:
            return
        self._tried = True
        live = self._live(images)
        if live.dtype == logits.dtype and torch.equal(live, logits):
            return
        same = live.shape == logits.shape and live.dtype == logits.dtype
        if not same or self._device.type == "cpu" or unfaithful(logits, live, *OTHER_RUN) is not None:
            self._reads = self._fills = False
            raise ValueError("is not what the teacher says here; it runs from now on")

    def _drop(self, epoch: int, error: Exception) -> None:
        """Report what is wrong with a file and remove it; the next run that needs it writes it again."""
        path = self.file(epoch)
        self._say(f"warning: {path.parent.name}/{path.name} {error}; the teacher runs instead")
        try:
            path.unlink(missing_ok=True)
        except OSError:
            self._reads = False

    def _fill(
        self, views: Iterator[tuple[Tensor, Tensor]], epoch: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the whole epoch, and write it to its file as long as that works."""
        writer: LogitsWriter | None = None
        teaching = writing = Spent()
        try:
            for number, (images, labels) in enumerate(views, start=1):
                started = self._now()
                logits = self._live(images)
                taught = self._now()
                yield images, labels, logits
                begun = now()
                if number == 1:
                    writer = self._writer(epoch, logits)
                if writer is not None and not self._written(writer, images, logits):
                    writer = None
                teaching += taught - started
                writing += now() - begun
            if writer is not None:
                started = now()
                self._published(writer, teaching)
                writer, writing = None, writing + (now() - started)
                self._stop_if_slow(writing.seconds, teaching.seconds)
        finally:
            self._savings.time -= writing
            if writer is not None:
                writer.abandon()

    def _writer(self, epoch: int, logits: Tensor) -> LogitsWriter | None:
        try:
            reason = self._room(file_bytes(logits, self._steps))
            if not can_hold(logits):
                reason = f"they are {logits.dtype}, or their values in another order than a file's"
            if reason is None:
                return claim(self.file(epoch), self._steps)
            self._stop(f"note: the teacher's logits are not kept from epoch {epoch + 1} on: {reason}")
        except OSError as error:
            self._stop(_not_kept(error))
        return None

    def _written(self, writer: LogitsWriter, images: Tensor, logits: Tensor) -> bool:
        try:
            writer.write(images, logits)
        except (OSError, ValueError) as error:
            writer.abandon()
            self._stop(_not_kept(error))
            return False
        return True

    def _published(self, writer: LogitsWriter, taught: Spent) -> None:
        try:
            writer.publish(taught)
        except OSError as error:
            self._stop(_not_kept(error))

    def _stop_if_slow(self, writing: float, teaching: float) -> None:
        if writing > max(teaching, NOTICED):
            self._stop(
                f"note: keeping the teacher's logits of an epoch took {writing:.2f} s, and the teacher "
                f"{teaching:.2f} s: they are not kept any more"
            )

    def _stop(self, line: str) -> None:
        """Stop writing files."""
        self._fills = False
        self._say(line)

    def _now(self) -> Spent:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return now()


def _not_kept(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"warning: the teacher's logits are not kept any more: {reason}"


def unfaithful(
    given: Tensor, live: Tensor, most_kl: float = MOST_KL, least_agreement: float = LEAST_AGREEMENT
) -> str | None:
    """Why logits [B, C, h, w] cannot replace the teacher's; None if they can."""
    given, live = given.double(), live.double()
    if not given.isfinite().all():
        return "some are not finite"
    agreement = (given.argmax(1) == live.argmax(1)).double().mean().item()
    log_live, log_given = live.log_softmax(1), given.log_softmax(1)
    kl = (log_live.exp() * (log_live - log_given)).sum(1).mean().item()
    if kl <= most_kl and agreement >= least_agreement:
        return None
    return (
        f"KL {kl:.1e} nats where {most_kl:g} is allowed, and the same class at {100 * agreement:.2f} % of "
        f"positions where {100 * least_agreement:g} % is asked for"
    )
