"""The card that accompanies a network: its classes and colours, and how images become its input."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.errors import UserError
from icsd.records import Digest, Record, first_mistake

KEY = "icsd"
"""The metadata key under which an exported file holds its card, as JSON."""
Byte = Annotated[int, Field(ge=0, le=255)]
Channels = tuple[float, float, float]
_Spread = Annotated[float, Field(gt=0)]


class Card(Record):
    """What is known of a network in addition to its weights."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    dataset: str
    network: str
    """How it was trained: method, network and seed."""
    classes: tuple[str, ...] = Field(min_length=2, max_length=255)
    """In the order of their ids."""
    palette: tuple[tuple[Byte, Byte, Byte], ...]
    """Red, green and blue of every class."""
    input_scale: float = Field(ge=0.02, le=16)
    """Size of the image that the network sees, relative to the image as read."""
    mean: Channels = IMAGENET_MEAN
    std: tuple[_Spread, _Spread, _Spread] = IMAGENET_STD
    """Mean and standard deviation, for pixel values in 0..1, with which the input is normalised."""
    weights_sha256: Digest
    """Digest of the weights that training wrote."""
    preprocessing: Literal["inside", "outside"] = "outside"
    """Of an exported file: ``inside`` takes images as they are read, uint8 [B, H, W, 3], and returns logits
    [B, C, H, W] of their size; ``outside`` takes them scaled and normalised, float32 [B, 3, h, w], and
    returns the network's own logits, to be upsampled bilinearly with aligned corners."""
    precision: Literal["fp32", "int8"] = "fp32"
    opset: int | None = None
    """The opset of ONNX; None for other files."""

    @model_validator(mode="after")
    def _has_a_colour_for_each_class(self) -> Self:
        if len(self.palette) != len(self.classes):
            raise ValueError(f"it has {len(self.palette)} colours for {len(self.classes)} classes")
        return self

    def to_json(self) -> str:
        """The card as an exported file holds it."""
        return self.model_dump_json(by_alias=True)


def read_card(text: str | None, place: str) -> Card:
    """The card in an exported file.

    Raises:
        UserError: There is none, or it is damaged; the message names ``place``.
    """
    advice = "export the network again with `python -m pipeline export`"
    if text is None:
        raise UserError(
            f"{place}: does not say what its classes are, so it is no export of this project; {advice}"
        )
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{place}: {first_mistake(error, whole='its card')}; {advice}") from error
