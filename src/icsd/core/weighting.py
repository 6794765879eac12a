"""The weight of every loss term in every epoch: constant, or adaptive loss weighting (ALW).

ALW (arXiv 2308.04243) lets the teacher lead at first and the labels at the end: with α growing from 0 to 1,
the loss is α (CE + λ_icsd ICSD) + (1 − α) λ_kd KD.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Decay = Literal["linear", "cosine", "exponential", "polynomial", "step", "constant", "none"]
Scope = Literal["paper", "teacher"]


@dataclass(frozen=True, kw_only=True)
class Alw:
    """How the teacher's weight 1 − α decays, and on what it acts.

    Attributes:
        decay: The shape of the decay; see ``alpha``.
        scope: ``paper``: only the term ``kd`` decays, cross-entropy and every other term grow. ``teacher``:
            every distillation term decays, cross-entropy grows.
        power: Of ``polynomial``, > 0.
        rate: Of ``exponential``, > 0: larger falls earlier.
        steps: Of ``step``, >= 1: the number of equal drops.
        constant: Of ``constant``, 0 to 1: the teacher's weight in every epoch.
    """

    decay: Decay = "linear"
    scope: Scope = "paper"
    power: float = 2.0
    rate: float = 5.0
    steps: int = 4
    constant: float = 0.5


def alpha(
    epoch: int,
    *,
    epochs: int,
    decay: Decay,
    power: float = 2.0,
    rate: float = 5.0,
    steps: int = 4,
    constant: float = 0.5,
) -> float:
    """α of an epoch counted from 0: 1 minus the teacher's weight.

    With t = epoch / epochs, the teacher's weight is

    - ``linear``: 1 − t, as published;
    - ``cosine``: half a cosine wave from 1 to 0;
    - ``exponential``: exp(−rate t), shifted and scaled to go from 1 to 0;
    - ``polynomial``: (1 − t)^power;
    - ``step``: a staircase from 1 to 0 with ``steps`` equal drops, its steps + 1 treads equally long;
    - ``constant``: ``constant``;
    - ``none``: 1, and ``term_weights`` then leaves every term at its λ.
    """
    t = epoch / epochs
    match decay:
        case "linear":
            return t
        case "cosine":
            return (1 - math.cos(math.pi * t)) / 2
        case "exponential":
            return math.expm1(-rate * t) / math.expm1(-rate)
        case "polynomial":
            return 1.0 - math.pow(1 - t, power)
        case "step":
            return min(epoch * (steps + 1) // epochs, steps) / steps
        case "constant":
            return 1 - constant
        case "none":
            return 0.0


def term_weights(
    epoch: int, *, epochs: int, terms: Sequence[str], weights: Mapping[str, float], alw: Alw | None
) -> dict[str, float]:
    """The factor of cross-entropy (``ce``) and of every term in an epoch counted from 0.

    Args:
        epoch: 0 .. epochs − 1.
        epochs: Of the whole run.
        terms: The method's terms.
        weights: λ of every term.
        alw: None, or decay ``none``: every term at its λ and cross-entropy at 1, throughout.
    """
    factors = {"ce": 1.0, **{term: weights[term] for term in terms}}
    if alw is None or alw.decay == "none":
        return factors
    growing = alpha(
        epoch,
        epochs=epochs,
        decay=alw.decay,
        power=alw.power,
        rate=alw.rate,
        steps=alw.steps,
        constant=alw.constant,
    )
    decaying = {"kd"} if alw.scope == "paper" else set(terms)
    return {name: factor * (1 - growing if name in decaying else growing) for name, factor in factors.items()}
