"""Paths that arguments and options take."""

import os
from pathlib import Path
from typing import Any

import click


class NamedPath(click.Path):
    """A path that is not empty; an empty one, from a variable without a value, is the working directory.

    Args:
        dir_okay: Whether it may be a folder that exists.
    """

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay)

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as in click
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - as in click
        """The path that was typed."""
        if not os.fspath(value):
            self.fail("the path is empty; was it a variable without a value?", param, ctx)
        return super().convert(value, param, ctx)
