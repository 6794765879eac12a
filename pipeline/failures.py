"""How a command ends: every failure is a message and an exit code, never a traceback."""

import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from icsd.errors import UserError

USER, DIVERGED, UNFORESEEN, SYSTEM, INTERRUPTED, TERMINATED = 2, 1, 70, 74, 130, 143
"""Exit codes; 70 and 74 are those of sysexits.h for an internal error and for one of input or output."""

_KEPT = (
    "Finished epochs, trials and downloads are kept in .state/; the same command, or `dvc repro`, "
    "resumes from there"
)
_NO_MEMORY = "can't allocate memory"
"""What torch says on the CPU, in a RuntimeError."""
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the command again; what was finished is kept",
    errno.EDQUOT: "your disk quota is used up: free some space and run the command again",
    errno.EACCES: "no permission: change the owner or the mode of this path, or of its folder",
    errno.EPERM: "no permission: change the owner or the mode of this path, or of its folder",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "too many open files: raise the limit (`ulimit -n`), or lower runtime.workers",
}


@contextmanager
def failures_as_messages() -> Iterator[None]:
    """Turn whatever ends the block into one message on stderr and the matching exit code.

    ``ICSD_DEBUG=1`` lets the traceback through.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that runs are closed as killed
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
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("ICSD_DEBUG") == "1":
            raise
        if isinstance(error, OSError):
            _end(f"error: {_describe(error)}{_log(error)}", SYSTEM)
        _end(f"error: {_summarise(error)}{_log(error)}", UNFORESEEN)


def _end(message: str, code: int) -> None:
    print(message, file=sys.stderr, flush=True)
    sys.exit(code)


def _describe(error: OSError) -> str:
    """What the operating system refused, where, and what to do."""
    place = f"{error.filename}: " if error.filename else ""
    advice = _ADVICE.get(error.errno or 0)
    return f"{place}{error.strerror or error}" + (f"; {advice}" if advice else "")


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
    """Write the traceback to a file, and say where it is; nothing where it cannot be written."""
    root = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    path = root / ".state" / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{' '.join(sys.argv)}\n", f"Python {sys.version}\n", *traceback.format_exception(error)]
        path.write_text("".join(lines), encoding="utf-8")
    except OSError:
        return ""
    return f"\n  The details are in {path}; please send that file with a report of the problem."
