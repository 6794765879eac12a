"""Imports of large packages: no garbage collection meanwhile, nor later of what they leave in memory."""

import gc
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock
from typing import Any

_LISTING = RLock()


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


@contextmanager
def plugins_listed_once() -> Iterator[None]:
    """Read which plugins the installed packages have once in this block, and not for every kind of plugin.

    MLflow asks for a dozen kinds when it is imported, and each time Python reads all packages' metadata.
    """
    with _LISTING:  # a second thread would take the first one's function for Python's, and keep it
        read = importlib.metadata.entry_points
        listed = cache(read)  # called without arguments: all of them

        def select(**parameters: Any) -> Any:  # noqa: ANN401 - Python's own
            return listed().select(**parameters) if parameters else listed()

        importlib.metadata.entry_points = select
        try:
            yield
        finally:
            importlib.metadata.entry_points = read
