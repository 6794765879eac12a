"""Distillation methods, one per file. A new one: its file, its line in ``METHODS``, its params.yaml block."""

from collections.abc import Mapping
from typing import Any

from icsd.methods.aicsd import AICSD
from icsd.methods.base import Method, Taps, Terms
from icsd.methods.blocks import CheckedBlock, asked_for, check_block
from icsd.methods.icsd import ICSD
from icsd.methods.kd import KD
from icsd.methods.none import NO_METHOD
from icsd.params import UserError, did_you_mean

METHODS: dict[str, type[Method] | None] = {"none": NO_METHOD, "kd": KD, "icsd": ICSD, "aicsd": AICSD}

__all__ = ["METHODS", "CheckedBlock", "Method", "Taps", "Terms", "build_method", "parse_block"]


def parse_block(name: str, block: Mapping[str, Any]) -> CheckedBlock:
    """The block ``methods.<name>`` of params.yaml, checked.

    Raises:
        UserError: No such method, or a key, choice or weight that the method does not have.
    """
    if name not in METHODS:
        raise UserError(f"methods.{name}: there is no such method{did_you_mean(name, list(METHODS))}")
    return check_block(f"methods.{name}", block, method=METHODS[name])


def build_method(
    name: str,
    block: Mapping[str, Any],
    *,
    student_channels: dict[str, int],
    teacher_channels: dict[str, int],
    num_classes: int,
) -> Method | None:
    """The method of that name from its block, with whatever else its constructor asks for; None for ``none``.

    Raises:
        UserError: See ``parse_block``.
    """
    options = parse_block(name, block).options
    method = METHODS[name]
    if method is None:
        return None
    given = {
        "student_channels": student_channels,
        "teacher_channels": teacher_channels,
        "num_classes": num_classes,
    }
    return method(**options, **{key: given[key] for key in asked_for(method)})
