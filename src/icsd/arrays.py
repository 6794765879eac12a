"""Files of named arrays (npz): written whole, and read without executing code."""

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icsd.errors import UserError
from icsd.files import write_bytes
from icsd.runs import advice_for

Arrays = Mapping[str, NDArray[np.generic]]


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays atomically; equal arrays are equal bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **dict(arrays))
    write_bytes(path, content.getbuffer())


def read_arrays(path: Path, names: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """Every array of a file, or those of ``names``; each has its checksum in the file.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It is damaged, or one of ``names`` is missing; says what brings it back.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if missing := [name for name in names if name not in arrays]:
                raise UserError(f"array {missing[0]} is missing")
            return {name: arrays[name] for name in names or arrays}
    except FileNotFoundError:
        raise
    except UserError as error:
        raise UserError(f"{path}: {error}; {advice_for(path)}") from error
    except Exception as error:  # numpy, zipfile and zlib have many
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise UserError(f"{path}: not a readable npz file ({reason}); {advice_for(path)}") from error
