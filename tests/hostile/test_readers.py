"""Every reader ends in its result or in the error that its documentation names, whatever the file holds.

The default tests draw the same few hundred files every time. ``ICSD_FUZZ_SECONDS=3600 pytest tests/hostile``
draws others for an hour, shared by the readers, and prints how many.
"""

import os
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.hostile.damage import damaged
from tests.hostile.readers import READERS

EXAMPLES = 25
SECONDS = float(os.environ.get("ICSD_FUZZ_SECONDS", "0")) / len(READERS)
QUIET = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


@pytest.mark.filterwarnings("ignore")  # of decoders, about what is wrong with the file
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    reader = READERS[name]
    path = reader.write(tmp_path)
    content = path.read_bytes()
    reader.read(path)  # a sound file is one
    path.unlink()  # what a writer made may be read-only
    count = 0

    def check(changed: bytes) -> None:
        nonlocal count
        count += 1
        path.write_bytes(changed)
        with suppress(*reader.refuses):
            reader.read(path)

    drawn = given(damaged(content))(check)
    if not SECONDS:
        settings(QUIET, max_examples=EXAMPLES, derandomize=True)(drawn)()
        return
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        seed(time.monotonic_ns())(settings(QUIET, max_examples=500)(given(damaged(content))(check)))()
    print(f"{name}: {count} files")
