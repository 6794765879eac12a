"""Distillation methods, one per file. To add one: its file, a line in ``METHODS``, a block in params.yaml."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from icsd.errors import UserError, did_you_mean
from icsd.methods.aicsd import AICSD
from icsd.methods.at import AttentionTransfer
from icsd.methods.attnfd import AttnFD
from icsd.methods.base import Method, Taps, Terms
from icsd.methods.blocks import CheckedBlock, asked_for, check_block
from icsd.methods.cirkd import CIRKD
from icsd.methods.csd import CSD
from icsd.methods.cwd import CWD
from icsd.methods.dist import DIST
from icsd.methods.fitnet import FitNet
from icsd.methods.ickd import ICKD
from icsd.methods.icsd import ICSD
from icsd.methods.ifvd import IFVD
from icsd.methods.kd import KD, WithKD
from icsd.methods.lad import LAD
from icsd.methods.mgd import MGD
from icsd.methods.none import NO_METHOD
from icsd.methods.overhaul import Overhaul
from icsd.methods.skd import SKD
from icsd.methods.sp import SimilarityPreserving

METHODS: dict[str, type[Method] | None] = {
    "none": NO_METHOD,
    "kd": KD,
    "at": AttentionTransfer,
    "sp": SimilarityPreserving,
    "ickd": ICKD,
    "csd": CSD,
    "cwd": CWD,
    "skd": SKD,
    "ifvd": IFVD,
    "fitnet": FitNet,
    "dist": DIST,
    "cirkd": CIRKD,
    "mgd": MGD,
    "lad": LAD,
    "attnfd": AttnFD,
    "overhaul": Overhaul,
    "icsd": ICSD,
    "aicsd": AICSD,
}

__all__ = [
    "METHODS",
    "CheckedBlock",
    "Method",
    "Taps",
    "Terms",
    "build_method",
    "class_of",
    "parse_block",
    "taps_of",
]


def parse_block(name: str, block: Mapping[str, Any]) -> CheckedBlock:
    """Check the block ``methods.<name>`` of params.yaml.

    Raises:
        UserError: No such method, or a key, choice or weight that the method does not have.
    """
    return check_block(f"methods.{name}", block, method=METHODS[class_of(name, block)])


def class_of(name: str, block: Mapping[str, Any]) -> str:
    """The name in ``METHODS`` of a block's method: its key ``method``, or else the block's name.

    This lets a grid have several variants of a method, each under its own name.

    Raises:
        UserError: There is no such method.
    """
    wanted = str(block.get("method", name))
    if wanted in METHODS:
        return wanted
    hint = did_you_mean(wanted, list(METHODS))
    if "method" in block:
        raise UserError(f"methods.{name}.method: there is no method {wanted!r}{hint}")
    raise UserError(
        f"methods.{name}: there is no such method{hint}. A block with a name of its own says "
        "`method: <one of these>`"
    )


def build_method(
    name: str,
    block: Mapping[str, Any],
    *,
    student_channels: dict[str, int],
    teacher_channels: dict[str, int],
    num_classes: int,
) -> Method | None:
    """Build a method from its block, passing the values its constructor asks for; None for ``none``.

    Raises:
        UserError: See ``parse_block``.
    """
    checked = parse_block(name, block)
    method = METHODS[class_of(name, block)]
    if method is None:
        return None
    given = {
        "student_channels": student_channels,
        "teacher_channels": teacher_channels,
        "num_classes": num_classes,
    }
    built = method(**checked.options, **{key: given[key] for key in asked_for(method)})
    joined = "kd" in checked.weights and "kd" not in built.terms
    return WithKD(built) if joined else built


def taps_of(name: str, block: Mapping[str, Any], *, known: Sequence[str]) -> tuple[str, ...]:
    """The taps, among ``known``, that a block's method reads from both networks; empty for ``none``.

    Raises:
        UserError: See ``parse_block``.
    """
    with torch.device("meta"):
        channels = dict.fromkeys(known, 8)
        method = build_method(
            name, block, student_channels=channels, teacher_channels=channels, num_classes=2
        )
    return method.taps if method is not None else ()
