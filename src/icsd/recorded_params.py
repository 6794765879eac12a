"""The fields that are read from the parameter blocks in a train.json."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Block(BaseModel):
    """A part of a block: other keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class MethodRecord(_Block):
    """The fields that are read from a method's block."""

    method: str = ""
    alw: bool | dict[str, str | float] = False
    """A mapping has the keys that differ from the block ``alw``."""
    weights: dict[str, float] = {}


class ImagesRecord(_Block):
    """The fields that are read from the block ``images``."""

    input_scale: float = 1
    scale: tuple[float, float] = (1, 1)


class TrainingRecord(_Block):
    """The fields that are read from the training's block.

    Attributes:
        pace: Duration of a step relative to that of the student alone, from which equal time sets the run's
            epochs; None under equal epochs.
    """

    pace: float | None = Field(default=None, ge=1)


class ParamsRecord(_Block):
    """The fields that are read from the parameter blocks that determine a run; the file has more."""

    method: MethodRecord = MethodRecord()
    training: TrainingRecord = TrainingRecord()
    images: ImagesRecord = ImagesRecord()
    alw: dict[str, str | float | None] = {}


def checked_params(params: dict[str, Any]) -> dict[str, Any]:
    """Check the blocks, and return them unchanged.

    Raises:
        ValueError: A block does not have the expected structure.
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
