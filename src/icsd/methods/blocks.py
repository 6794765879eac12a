"""A method's block in params.yaml, checked against its constructor."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from icsd.errors import UserError
from icsd.methods.base import Method
from icsd.params.block import LARGEST, Weight
from icsd.params.messages import explained

GIVEN = ("student_channels", "teacher_channels", "num_classes")  # supplied by the builder, never by the YAML
_OPEN_ENDED = (
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)  # a class without a constructor
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class CheckedBlock:
    """A checked block: whether weighting is adaptive, the terms' weights, and the constructor's options."""

    alw: bool
    weights: dict[str, float]
    options: dict[str, Any]


def check_block(path: str, block: Mapping[str, Any], *, method: type[Method] | None) -> CheckedBlock:
    """Check the block at ``path`` strictly against the constructor and terms of ``method``.

    Raises:
        UserError: One line per mistake, with the full path of the key and what is allowed there.
    """
    schema = _schema(method)
    try:
        # The caller has looked up `method`; icsd.params checks a block's own schedule (an `alw` mapping).
        own = {key: value for key, value in block.items() if key != "method"}
        if isinstance(own.get("alw"), Mapping):
            own["alw"] = True
        checked = schema.model_validate(own).model_dump()
    except ValidationError as error:
        lines = explained(error, schema=schema, prefix=path, missing="missing; there must be: {keys}")
        raise UserError("\n".join(lines)) from error
    if large := [name for name, value in checked.items() if isinstance(value, int) and value > LARGEST]:
        raise UserError("\n".join(f"{path}.{name}: must be at most {LARGEST:,}" for name in large))
    alw, weights = checked.pop("alw"), checked.pop("weights")
    given = {term: weight for term, weight in weights.items() if weight is not None}
    return CheckedBlock(alw=alw, weights=given, options=checked)


def asked_for(method: type[Method]) -> list[str]:
    """Which of the ``GIVEN`` values the constructor asks for."""
    return [name for name in inspect.signature(method).parameters if name in GIVEN]


def _schema(method: type[Method] | None) -> type[BaseModel]:
    fields: dict[str, Any] = {"alw": (bool, ...)}
    terms: dict[str, Any] = {name: (Weight, ...) for name in (method.terms if method else ())}
    if method is not None:
        terms.setdefault("kd", (Weight | None, None))  # pixel-wise KD may join any method
    fields["weights"] = (create_model("weights", __config__=_STRICT, **terms), ...)
    if method is not None:
        hints = get_type_hints(method.__init__, include_extras=True)
        for name, parameter in inspect.signature(method).parameters.items():
            if name not in GIVEN and parameter.kind not in _OPEN_ENDED:
                fields[name] = (hints[name], parameter.default)
    return create_model("block", __config__=_STRICT, **fields)
