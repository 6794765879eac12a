"""Imports of large packages: no garbage collection meanwhile, nor later of what they leave in memory."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Create hundreds of thousands of objects in this block, none of them garbage, as imports do.

    MLflow takes half as long to import, torch nine tenths.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def lasting() -> Iterator[None]:
    """Import large packages in this block, as in ``uncollected``; the collector then never looks at them.

    Otherwise the first collection after the block visits every new object, and so does every full one.
    Objects in memory at the end of the block are exempt, too, so this is for the start of a process. A block
    that imports nothing exempts nothing.
    """
    before = len(sys.modules)
    with uncollected():
        yield
        if len(sys.modules) > before:
            gc.freeze()
