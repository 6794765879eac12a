"""The block ``deploy``: export of the champions as files for other programs."""

from typing import Annotated, Literal

from pydantic import Field

from icsd.params.block import Block


class Deploy(Block):
    """Which files the stage ``deploy`` exports of every student's champion, and what depends on them.

    Attributes:
        formats: Formats to export. If empty, no file is made, and the report has no section about files.
        preprocessing: Whether a file scales and normalises images itself (``inside``) or not (``outside``).
        calibration: Number of training images used to calibrate 8-bit quantisation.
        gate: Whether the alias ``champion`` only moves to a network whose files all keep its mIoU.
    """

    formats: list[Literal["onnx", "int8", "torch"]]
    preprocessing: Literal["outside", "inside"]
    calibration: Annotated[int, Field(ge=1, le=100_000)]
    gate: bool
