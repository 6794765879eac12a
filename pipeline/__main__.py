"""``python -m pipeline``."""

import sys

from pipeline.environment import check_environment
from pipeline.spellings import former_command

if __name__ == "__main__":
    check_environment()
    assert __spec__ is not None  # run by `python -m`
    if command := former_command(__spec__.name):
        sys.argv.insert(1, command)

    try:
        from pipeline.cli import main
    except KeyboardInterrupt:  # nothing has begun
        sys.exit(130)
    main()
