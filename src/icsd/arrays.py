"""Files of named arrays (npz), written atomically and read without executing code."""

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
"""Maps names of arrays to the kind of their values and their number of axes."""
_KINDS: Mapping[Kind, str] = {"integer": "iu", "real": "f", "text": "U"}
"""Maps kinds to the ``kind`` letters of numpy's dtypes."""


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays atomically; equal arrays give equal bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **dict(arrays))
    write_bytes(path, content.getbuffer())


def read_arrays(path: Path, layout: Layout | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays from a file, which has a checksum for each.

    Args:
        path: The file.
        layout: The arrays to read, with kind and number of axes; None for all arrays.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It is damaged, or an array is missing or of another kind; says how to restore the file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in layout or stored if name in stored}
            if foreign := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{foreign[0]} is no array")  # numpy returns other members as bytes
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise many types
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
