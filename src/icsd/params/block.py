"""Building blocks of the parameter schema: strict, frozen models, and numbers with limits.

Every number has an upper limit, far above any value used in training. A larger one is a typing error that
would otherwise surface hours later as exhausted memory, an overflow or a traceback from a library.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LARGEST = 1_000_000
"""Upper limit of every count."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$", max_length=80)]
Natural = Annotated[int, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Weight = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
"""λ of a loss term."""
Temperature = Annotated[float, Field(ge=1e-3, le=1e3, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=16, le=8192)]
"""Side of a crop, in pixels."""
Size = Annotated[list[Side], Field(min_length=2, max_length=2)]
Processes = Annotated[int, Field(ge=1, le=1024)]


class Block(BaseModel):
    """A strict, frozen block: no unknown keys, no silent conversion, no NaN or infinity."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
