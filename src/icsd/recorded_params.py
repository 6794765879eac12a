"""What is read of the parameter blocks in a train.json, which holds all that determine its run."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Block(BaseModel):
    """A part of them: whatever else a block has is left alone."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class MethodRecord(_Block):
    """What is read of a method's block."""

    method: str = ""
    alw: bool | dict[str, str | float] = False
    """Or what differs from the block ``alw``."""
    weights: dict[str, float] = {}


class ImagesRecord(_Block):
    """What is read of the block of the images."""

    input_scale: float = 1
    scale: tuple[float, float] = (1, 1)


class TrainingRecord(_Block):
    """What is read of the block of the training.

    Attributes:
        pace: How many times as long a step takes as the student's alone, where equal time is what gave the
            run its epochs; None under equal epochs.
    """

    pace: float | None = Field(default=None, ge=1)


class ParamsRecord(_Block):
    """What is read of the parameter blocks that determine a run; the file has all of them."""

    method: MethodRecord = MethodRecord()
    training: TrainingRecord = TrainingRecord()
    images: ImagesRecord = ImagesRecord()
    alw: dict[str, str | float | None] = {}


def checked_params(params: dict[str, Any]) -> dict[str, Any]:
    """The blocks themselves.

    Raises:
        ValueError: One has not the structure in which it is read.
    """
    try:
        ParamsRecord.model_validate(params, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
    return params


def pace_in(params: dict[str, Any]) -> float | None:
    """The pace in checked blocks; see ``TrainingRecord``."""
    return ParamsRecord.model_validate(params, strict=False).training.pace
