"""``python -m pipeline``."""

import signal
import sys

from pipeline.environment import check_environment, end_without
from pipeline.spellings import former_command

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before main() handles it
    check_environment()
    assert __spec__ is not None  # run by `python -m`
    if command := former_command(__spec__.name):
        sys.argv.insert(1, command)

    try:
        from pipeline.cli import main
        from pipeline.leaving import leave
    except ImportError as error:
        end_without(error)

    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        leave(end.code or 0)
    leave(0)
