"""Thin entries, one per stage or command: arguments in, exit code out; the work is in ``icsd.assembly``."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# The package is found beside this folder and not through an installation: inside DVC's temporary
# experiments an installed package would be the workspace's code, not the experiment's.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

# Threads that wait must not spin: where another process wants the core, spinning costs more than it saves.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

try:
    import pydantic  # noqa: F401 - the cheapest sign that the environment is the project's
except ModuleNotFoundError:
    sys.exit("error: the project's packages are missing: run this through `uv run`, or activate .venv first")


def run(main: Callable[[], None]) -> None:
    """Run an entry: a user's mistake is a message and exit code 2, divergence 1, interruption 130."""
    from icsd.errors import UserError

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that runs are closed as killed
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
