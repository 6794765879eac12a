"""The block ``data.folder``: a user's own images and masks."""

from typing import Annotated

from pydantic import Field, model_validator

from icsd.params.block import Block, Fraction, Natural

Byte = Annotated[int, Field(ge=0, le=255)]
Rgb = Annotated[list[Byte], Field(min_length=3, max_length=3)]
Values = Byte | Annotated[list[Byte | Rgb], Field(min_length=1)]


class Folder(Block):
    """A folder of images and masks: their paths, how they are split, and what the masks' values mean."""

    images: str
    masks: str
    lists: str | None
    fractions: Annotated[dict[str, Fraction], Field(min_length=1)] | None
    seed: Natural
    classes: Annotated[dict[str, Values], Field(min_length=2)]
    ignore: list[Byte | Rgb]
    unlabelled: bool

    @model_validator(mode="after")
    def _says_what_a_split_is(self) -> "Folder":
        ways = ["{split}" in self.images, self.lists is not None, self.fractions is not None]
        if sum(ways) != 1:
            raise ValueError("needs one of three: {split} in images, lists, or fractions")
        if "{stem}" not in self.masks:
            raise ValueError("masks must hold {stem}, which stands for the image's name without its suffix")
        if "*" not in self.images and "{stem}" not in self.images:
            raise ValueError("images must hold * or {stem}, which stands for the image's name")
        if self.fractions is not None and sum(self.fractions.values()) > 1 + 1e-9:
            raise ValueError("fractions add up to more than 1")
        return self

    @model_validator(mode="after")
    def _every_value_means_one_thing(self) -> "Folder":
        values = [value for name in self.classes for value in self.values_of(name)]
        values += [_value(value) for value in self.ignore]
        if len({isinstance(value, int) for value in values}) > 1:
            raise ValueError("classes and ignore must all be numbers, or all be colours [[red, green, blue]]")
        repeated = sorted({str(value) for value in values if values.count(value) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} stands for more than one class")
        return self

    def values_of(self, name: str) -> tuple[int | tuple[int, int, int], ...]:
        """The values or colours of a class in the masks."""
        values = self.classes[name]
        return tuple(_value(value) for value in (values if isinstance(values, list) else [values]))

    @property
    def ignored(self) -> tuple[int | tuple[int, int, int], ...]:
        """The values or colours in the masks that belong to no class."""
        return tuple(_value(value) for value in self.ignore)


def _value(value: int | list[int]) -> int | tuple[int, int, int]:
    return value if isinstance(value, int) else (value[0], value[1], value[2])
