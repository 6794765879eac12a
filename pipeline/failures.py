"""Every failure of a command ends in a message and an exit code, never in a traceback."""

import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from icsd.errors import UserError
from pipeline.environment import end_without

USER, DIVERGED, UNFORESEEN, SYSTEM, INTERRUPTED, TERMINATED = 2, 1, 70, 74, 130, 143
"""Exit codes; 70 (internal error) and 74 (input/output error) are from sysexits.h."""

_KEPT = (
    "Finished epochs, trials and downloads are kept in .state/, and finished files in their places; the same "
    "command resumes from there"
)
_LITTLE = 1 << 20
"""A disk with less free space than this, in bytes, counts as full."""
_NO_MEMORY = "can't allocate memory"
"""Part of the message of torch's RuntimeError on the CPU."""
_AGAIN = f"free some space, and run the same command again. {_KEPT}"
_ADVICE = {
    errno.ENOSPC: f"the disk is full{{disks}}: {_AGAIN}",
    errno.EDQUOT: f"your disk quota is used up: {_AGAIN}",
    errno.EFBIG: "the limit of file sizes is too low (`ulimit -f`): raise it, and run the same command "
    f"again. {_KEPT}",
    errno.EACCES: "no permission: change the owner or the mode of this path, or of its folder",
    errno.EPERM: "no permission: change the owner or the mode of this path, or of its folder",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "too many open files: raise the limit (`ulimit -n`), or lower runtime.workers",
}


@contextmanager
def failures_as_messages() -> Iterator[None]:
    """Turn any exception in the ``with`` block into a message on stderr and the matching exit code.

    With ``ICSD_DEBUG=1``, internal and system errors keep their traceback.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that MLflow runs are closed as killed
    try:
        yield
    except (click.Abort, KeyboardInterrupt):
        _end(f"interrupted. {_KEPT}", INTERRUPTED)
    except SystemExit as end:
        if end.code == TERMINATED:
            _end(f"terminated. {_KEPT}", TERMINATED)
        raise
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except UserError as error:
        _end(f"error: {error}", USER)
    except FloatingPointError as error:
        _end(f"error: {error}", DIVERGED)
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("ICSD_DEBUG") == "1":
            raise
        if isinstance(error, ImportError):
            with suppress(ImportError):  # raised for the project's own modules, which is a defect
                end_without(error)
        if isinstance(error, OSError):
            foreseen = error.errno in _ADVICE  # not a defect, and a log file could fill the disk
            _end(f"error: {_describe(error)}{'' if foreseen else _log(error)}", SYSTEM)
        _end(f"error: {_summarise(error)}{_log(error)}", UNFORESEEN)


def _end(message: str, code: int) -> None:
    print(message, file=sys.stderr, flush=True)
    sys.exit(code)


def _describe(error: OSError) -> str:
    """What the operating system rejected, where, and what to do."""
    place = f"{error.filename}: " if error.filename else ""
    advice = _ADVICE.get(error.errno or 0, "").format(disks=_full_disks(error))
    return f"{place}{error.strerror or error}" + (f"; {advice}" if advice else "")


def _full_disks(error: OSError) -> str:
    """Text about full disks, among those of the file, the project and temporary files."""
    named = [error.filename] if isinstance(error.filename, str) else []
    places = [*named, ".", os.environ.get("TMPDIR", "/tmp"), "/dev/shm"]  # noqa: S108 - nothing is written
    full: list[str] = []
    for place in places:
        with suppress(OSError, ValueError):
            path = Path(place).absolute()
            folder = next(part for part in (path, *path.parents) if part.exists())
            disk = next(part for part in (folder, *folder.parents) if part.is_mount())
            usage = os.statvfs(folder)
            if usage.f_bavail * usage.f_frsize < _LITTLE:
                full.append(f"no space left on {disk}")
            elif usage.f_files and not usage.f_favail:
                full.append(f"{disk} holds as many files as it can")
    return f" ({', '.join(dict.fromkeys(full))})" if full else ""


def _summarise(error: Exception) -> str:
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or _NO_MEMORY in str(error)
    ):
        return (
            "not enough memory: lower batch, images.crop, images.input_scale or runtime.workers, or set "
            "runtime.max_batch_per_device"
        )
    first = (str(error).splitlines() or [""])[0]
    return f"unforeseen {type(error).__name__}: {first}" if first else f"unforeseen {type(error).__name__}"


def _log(error: Exception) -> str:
    """Write the traceback to a file, and return text that names it; empty if it cannot be written."""
    root = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    path = root / ".state" / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{' '.join(sys.argv)}\n", f"Python {sys.version}\n", *traceback.format_exception(error)]
        path.write_text("".join(lines), encoding="utf-8")
    except OSError:
        return ""
    return f"\n  The details are in {path}; please send that file with a report of the problem."
