"""Numbers that options take."""

from math import isfinite
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A range of numbers, without NaN, which compares with nothing, and without infinity."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as in click
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """The number that was typed."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value} is no number in the range {self._describe_range()}.", param, ctx)
        return number
