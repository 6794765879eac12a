"""The block ``alw``, whose numbers are the parameters of the decays in ``icsd.core.weighting``."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model

from icsd.core.weighting import DECAYS, NUMBERS, Number, Scope
from icsd.params.block import Block

if TYPE_CHECKING:
    DecayName = str
else:
    DecayName = Literal[tuple(DECAYS)]


def _number(number: Number) -> Any:  # noqa: ANN401 - an annotation for pydantic
    limits = Field(gt=number.above, ge=number.least, le=number.most)
    return Annotated[type(number.default), limits]


class _AlwNames(Block):
    decay: DecayName
    scope: Scope


def _with_numbers(name: str, base: type[Block], fields: dict[str, Any]) -> Any:  # noqa: ANN401 - a class to inherit
    return create_model(name, __base__=base, **fields)


_AllNumbers: Any = _with_numbers(
    "_AllNumbers", _AlwNames, {key: (_number(n), ...) for key, n in NUMBERS.items()}
)
_SomeNumbers: Any = _with_numbers(
    "_SomeNumbers",
    Block,
    {"decay": (DecayName, "linear"), "scope": (Scope, "paper")}
    | {key: (_number(n), n.default) for key, n in NUMBERS.items()},
)


class AlwParams(_AllNumbers):  # type: ignore[misc]  # made from the table of decays
    """Adaptive loss weighting: how the teacher's weight 1 - α decays over the epochs of a run."""

    decay: DecayName
    scope: Scope


class AlwChanges(_SomeNumbers):  # type: ignore[misc]  # made from the table of decays
    """A method's own ``alw``: the keys that differ from the common block."""
