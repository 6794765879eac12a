"""Turns pydantic's validation errors into lines that a user can act on."""

import datetime
import re
import reprlib
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from icsd.errors import did_you_mean

MOVED = {
    f"train.{name}": f"monitor.{name}" for name in ("health_steps", "similarity_every", "similarity_images")
}
"""Maps keys of earlier versions to their current names."""
_HINTS = {
    ("bool_type", str): "; write true or false",
    ("string_type", datetime.date): "; put it in quotes",
    ("string_type", int): "; put it in quotes",
    ("int_type", str): "; a number has no quotes",
    ("float_type", str): "; a number has no quotes, and 1e-3 is one",
}
"""Maps an error and the type of the given value to a hint about the likely cause."""
QUOTES = "'\""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel, _SHORT.maxlong = 3, 40


def explained(
    error: ValidationError, *, schema: type[BaseModel], prefix: str = "", missing: str = "missing"
) -> list[str]:
    """One line per error; see :func:`explain`."""
    return [explain(item, schema=schema, prefix=prefix, missing=missing) for item in error.errors()]


def explain(
    error: ErrorDetails, *, schema: type[BaseModel], prefix: str = "", missing: str, null: str | None = None
) -> str:
    """One line for one error: the key with its full path, what is wrong, and what is allowed.

    Args:
        error: One of ``ValidationError.errors()``.
        schema: The model that was validated.
        prefix: Path of the block that ``schema`` describes, if it is not the whole file.
        missing: Message for a missing key; ``{keys}`` is replaced by the keys of its block.
        null: Message for a null; None for pydantic's own message.
    """
    location = _without_union_tags([str(part)[:80] for part in error["loc"]])
    path = ".".join(([prefix] if prefix else []) + location)
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        if path in MOVED:
            return f"{path}: is called {MOVED[path]} now"
        return f"{path}: unknown key{did_you_mean(location[-1], _keys_at(schema, location[:-1]))}"
    if kind == "missing":
        return f"{path}: {missing.format(keys=', '.join(_keys_at(schema, location[:-1])))}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'|(\b\d+\b)", error["ctx"]["expected"])
        known = [a or b for a, b in choices]
        return f"{path}: {shown(value)} is not a choice{did_you_mean(shown(value).strip(QUOTES), known)}"
    if value is None and null is not None:
        return f"{path}: {null} ({error['msg'].lower()})"
    hint = _HINTS.get((kind, type(value)), "")
    return f"{path}: {error['msg'].removeprefix('Value error, ')}, got {shown(value)}{hint}"


def shown(value: object) -> str:
    """Any value as a short text for a message, at most one line long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a {type(value).__name__} that is too long to print"


def _without_union_tags(location: list[str]) -> list[str]:
    """Remove pydantic's names of union members from a path, as they are not keys of the file."""
    return [
        part
        for part in location
        if not re.match(r"^(bool|str|int|float|AlwChanges|constrained-.*|literal\[.*|\[key\])$", part)
    ]


def _keys_at(annotation: Any, location: list[str]) -> list[str]:  # noqa: ANN401 - any type annotation
    """The keys allowed by the block at ``location`` below ``annotation``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not location:
            return sorted(annotation.model_fields)
        return _keys_at(annotation.model_fields[location[0]].annotation, location[1:])
    members = get_args(annotation)
    if get_origin(annotation) is dict:
        return _keys_at(members[1], location[1:])
    if get_origin(annotation) is list:
        return _keys_at(members[0], location[1:])
    return next((keys for member in members if (keys := _keys_at(member, location))), [])
