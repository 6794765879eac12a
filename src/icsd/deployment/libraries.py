"""The libraries of the extra ``deploy``, imported only where they are needed."""

import importlib
from typing import Any

from icsd.errors import UserError


def needed(name: str, *, wanted_by: str) -> Any:  # noqa: ANN401 - a module without types
    """Import a library of the extra ``deploy``.

    Raises:
        UserError: It is not installed; the message names ``wanted_by``.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise UserError(
            f"{wanted_by}: needs the package {package}, which cannot be imported ({error}). The extra "
            "has it: `uv sync --extra deploy`, or `pip install '.[deploy]'`"
        ) from error
