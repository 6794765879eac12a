"""The baseline: a student that learns from the labels alone.

There is no method, so a training step runs no teacher. The name exists so that the baseline has a block, a
row in every table and a source file like any method.
"""

from typing import Final

NO_METHOD: Final = None
