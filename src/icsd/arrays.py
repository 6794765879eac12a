"""Files of named arrays (npz): written whole, and read without executing code."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from icsd.errors import UserError
from icsd.files import write_bytes
from icsd.runs import advice_for

Arrays = Mapping[str, NDArray[np.generic]]
Kind = Literal["integer", "real", "text"]
Layout = Mapping[str, tuple[Kind, int]]
"""Name -> kind of the values, and number of axes."""
_KINDS: Mapping[Kind, str] = {"integer": "iu", "real": "f", "text": "U"}
"""The letters of numpy's types."""


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays atomically; equal arrays are equal bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **dict(arrays))
    write_bytes(path, content.getbuffer())


def read_arrays(path: Path, layout: Layout | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of a file; each has its checksum in the file.

    Args:
        path: The file.
        layout: The arrays that are needed, with kind and number of axes; None for all that there are.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It is damaged, or an array is missing or another; says what brings it back.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in layout or stored if name in stored}
            if foreign := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{foreign[0]} is no array")  # numpy hands over what does not begin like one
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy, zipfile and zlib have many
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise UserError(f"{path}: not a readable npz file ({reason}); {advice_for(path)}") from error
    for name, (kind, axes) in (layout or {}).items():
        if name not in arrays:
            raise UserError(f"{path}: array {name} is missing; {advice_for(path)}")
        array = arrays[name]
        if array.dtype.kind not in _KINDS[kind] or array.ndim != axes:
            raise UserError(
                f"{path}: array {name} is {array.dtype} with {array.ndim} axes, not {kind} with {axes}; "
                f"{advice_for(path)}"
            )
    return arrays
