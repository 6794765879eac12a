"""Checks before any training whether the files that ``deploy.formats`` asks for can be made here."""

from importlib.util import find_spec

from icsd.errors import UserError
from icsd.params import Params

_ONNX = ("onnx", "onnxruntime", "onnxscript")
LIBRARIES = {"onnx": _ONNX, "int8": _ONNX, "torch": ()}
"""Format -> the packages, in addition to torch, that make, check and run it."""


def check_exports(params: Params) -> None:
    """Refuse formats whose libraries are not installed.

    Raises:
        UserError: A library is missing; the message names the formats and the libraries.
    """
    lacking = {
        name: missing
        for name in params.deploy.formats
        if (missing := [library for library in LIBRARIES[name] if find_spec(library) is None])
    }
    if lacking:
        libraries = sorted({library for missing in lacking.values() for library in missing})
        raise UserError(
            f"deploy.formats: {', '.join(lacking)} needs the packages of the extra `deploy`, and "
            f"{', '.join(libraries)} cannot be imported: `uv sync --extra deploy`, or "
            "`pip install '.[deploy]'`; or take the format out"
        )
