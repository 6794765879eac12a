"""Imports without the garbage collector: they make hundreds of thousands of objects, and all of them stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import here what is large: MLflow takes half as long, torch nine tenths."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
