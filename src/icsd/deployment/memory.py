"""The peak memory of a network, measured in a process that does nothing else."""

import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from icsd.deployment.calls import Opened, Size, call_of
from icsd.errors import UserError, first_line

Peaks = dict[Size, float | None]
_STATUS = Path("/proc/self/status")
_SECONDS_TO_END = 30.0


def peak_megabytes(
    name: str, open_network: Callable[[int], Opened], sizes: Sequence[Size], *, threads: int, batch: int
) -> Peaks:
    """The peak memory of a process that opens a network and predicts images of a size.

    On the CPU it is the memory in excess of that after importing torch: the weights, what opening a file or
    compiling takes, and the activations. Smaller sizes come first in the same process. On CUDA it is the
    device memory that torch's allocator held.

    Args:
        name: Name of the network in an error.
        open_network: Opens the network with a number of threads; picklable.
        sizes: Heights and widths of the images as the network sees them.
        threads: Number of CPU threads.
        batch: Images per call.

    Returns:
        Size -> megabytes; None on systems other than Linux, which do not report it.

    Raises:
        UserError: The network cannot be opened, or cannot take the images, or the process was killed.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_measure, args=(sender, open_network, sizes, threads, batch), daemon=True
    )
    with _deaf_to_interrupts():
        process.start()
    sender.close()
    try:
        found: Peaks | str = receiver.recv()
        process.join(_SECONDS_TO_END)
    except EOFError:
        process.join()
        raise UserError(
            f"{name}: the process that measures its memory ended with code {process.exitcode}; where memory "
            "is short, measure smaller images"
        ) from None
    finally:
        process.kill()
        process.join()
        receiver.close()
    if isinstance(found, str):
        raise UserError(f"{name}: {found}")
    return found


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Block Ctrl-C in processes that are started inside: the parent ends them, without a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _measure(
    sender: Connection,
    open_network: Callable[[int], Opened],
    sizes: Sequence[Size],
    threads: int,
    batch: int,
) -> None:
    """Run in the process: sends the peaks, or the reason why they could not be measured."""
    try:
        found: Peaks | str = _peaks(open_network, sizes, threads, batch)
    except Exception as error:  # the other process raises it
        found = str(error) if isinstance(error, UserError) else first_line(error)
    sender.send(found)


def _peaks(open_network: Callable[[int], Opened], sizes: Sequence[Size], threads: int, batch: int) -> Peaks:
    torch.set_num_threads(threads)
    before = _kilobytes("VmRSS")
    runner = open_network(threads)
    device = getattr(runner, "device", torch.device("cpu"))
    peaks: Peaks = {}
    for size in sorted(set(sizes), key=lambda size: size[0] * size[1]):
        call = call_of(runner, size, batch)
        call()
        call()
        if device.type == "cuda":
            peaks[size] = torch.cuda.max_memory_allocated(device) / 1e6
        else:
            peak = _kilobytes("VmHWM")
            peaks[size] = None if peak is None or before is None else (peak - before) * 1024 / 1e6
    return peaks


def _kilobytes(field: str) -> int | None:
    """A memory field of this process's status, from the kernel."""
    if not _STATUS.is_file():
        return None
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    return int(match[1]) if match else None
