"""Folders that another process removes between their listing and their reading."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def vanishing(name: str) -> Callable[..., Any]:
    """``os.scandir`` for which folders of this name do not exist any more."""
    scandir = os.scandir

    def read(path: Any = ".") -> Any:
        if Path(path).name == name:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scandir(path)

    return read
