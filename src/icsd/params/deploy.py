"""The block ``deploy``: the champions as files for other programs."""

from typing import Annotated, Literal

from pydantic import Field

from icsd.params.block import Block


class Deploy(Block):
    """Which files the stage ``deploy`` makes of every student's champion, and what depends on them.

    Attributes:
        formats: None: no file is made, and the report has nothing about files.
        preprocessing: Whether a file scales and normalises images itself.
        calibration: Training images that 8 bits are calibrated on.
        gate: Whether the alias ``champion`` only moves to a network whose files all keep its mIoU.
    """

    formats: list[Literal["onnx", "int8", "torch"]]
    preprocessing: Literal["outside", "inside"]
    calibration: Annotated[int, Field(ge=1, le=100_000)]
    gate: bool
