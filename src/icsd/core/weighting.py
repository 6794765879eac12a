"""The weight of every loss term in every epoch: constant, or adaptive loss weighting (ALW).

ALW (arXiv 2308.04243) lets the teacher lead at first and the labels at the end: with α growing from 0 to 1,
the loss is α (CE + λ_icsd ICSD) + (1 − α) λ_kd KD.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Scope = Literal["paper", "teacher", "distillation"]
_NO_TERMS: Mapping[str, float] = MappingProxyType({})
Value = int | float
"""Of a number of a decay; whole numbers stay ints."""


@dataclass(frozen=True)
class Number:
    """A number that a decay reads from ``alw``: its default, meaning and limits.

    Attributes:
        above: It must be larger than this.
        least: It must be at least this.
        most: It must be at most this.
    """

    default: Value
    meaning: str
    above: Value | None = None
    least: Value | None = None
    most: Value | None = None


@dataclass(frozen=True)
class Decay:
    """A shape of the teacher's weight 1 − α over a run.

    Attributes:
        alpha: ``alpha(epoch, epochs, **numbers)`` is α of an epoch counted from 0.
        numbers: The keys of ``alw`` that it reads.
    """

    alpha: Callable[..., float]
    numbers: Mapping[str, Number] = field(default_factory=dict)


def _linear(epoch: int, epochs: int) -> float:
    """Teacher's weight 1 − t with t = epoch / epochs, as published."""
    return epoch / epochs


def _cosine(epoch: int, epochs: int) -> float:
    """Half a cosine wave from 1 to 0."""
    return (1 - math.cos(math.pi * (epoch / epochs))) / 2


def _exponential(epoch: int, epochs: int, *, rate: float) -> float:
    """exp(−rate t), shifted and scaled to go from 1 to 0."""
    return math.expm1(-rate * (epoch / epochs)) / math.expm1(-rate)


def _polynomial(epoch: int, epochs: int, *, power: float) -> float:
    """(1 − t)^power."""
    return 1.0 - math.pow(1 - epoch / epochs, power)


def _step(epoch: int, epochs: int, *, steps: int) -> float:
    """A staircase from 1 to 0 with ``steps`` equal drops, its steps + 1 treads equally long."""
    return min(epoch * (steps + 1) // epochs, steps) / steps


def _constant(epoch: int, epochs: int, *, constant: float) -> float:
    """``constant`` in every epoch."""
    return 1 - constant


def _none(epoch: int, epochs: int) -> float:
    """1; ``term_weights`` then leaves every term at its λ."""
    return 0.0


DECAYS = {
    "linear": Decay(_linear),
    "cosine": Decay(_cosine),
    "exponential": Decay(_exponential, {"rate": Number(5.0, "larger falls earlier", above=0)}),
    "polynomial": Decay(_polynomial, {"power": Number(2.0, "the exponent", above=0)}),
    "step": Decay(_step, {"steps": Number(4, "how many equal drops", least=1)}),
    "constant": Decay(_constant, {"constant": Number(0.5, "the teacher's weight", least=0, most=1)}),
    "none": Decay(_none),
}
"""Every decay that ``alw.decay`` may name; the schema of ``alw`` and what is recorded and shown follow it."""

NUMBERS = {name: number for decay in DECAYS.values() for name, number in decay.numbers.items()}
"""The keys of ``alw`` besides ``decay`` and ``scope``."""


class Alw:
    """How the teacher's weight 1 − α decays, and what it acts on.

    Args:
        decay: A name in ``DECAYS``.
        scope: ``paper``: only the term ``kd`` decays, cross-entropy and every other term grow. ``teacher``:
            every distillation term decays, cross-entropy grows. ``distillation``: every distillation term
            decays, and the labels count in full from the first epoch, which tells the decay of the teacher
            from the loss of the labels' weight.
        numbers: Those of ``NUMBERS`` that differ from their defaults.
    """

    def __init__(self, *, decay: str = "linear", scope: Scope = "paper", **numbers: Value) -> None:
        if unknown := numbers.keys() - NUMBERS.keys():
            raise TypeError(f"no decay has a number {', '.join(sorted(unknown))}")
        self.decay = decay
        self.scope: Scope = scope
        self.numbers = {name: numbers.get(name, number.default) for name, number in NUMBERS.items()}

    @property
    def numbers_of_decay(self) -> dict[str, Value]:
        """The numbers that its decay reads."""
        return {name: self.numbers[name] for name in DECAYS[self.decay].numbers}

    def as_dict(self) -> dict[str, str | Value]:
        """What it acts by: decay, scope, and the numbers that its decay reads."""
        return {"decay": self.decay, "scope": self.scope, **self.numbers_of_decay}


def alpha(epoch: int, *, epochs: int, decay: str, **numbers: Value) -> float:
    """α of an epoch counted from 0: 1 minus the teacher's weight.

    Args:
        epoch: 0 .. epochs − 1.
        epochs: Of the whole run.
        decay: A name in ``DECAYS``.
        numbers: Of the decay; defaults for those that are not given.
    """
    shape = DECAYS[decay]
    defaults = {name: number.default for name, number in shape.numbers.items()}
    return shape.alpha(epoch, epochs, **(defaults | numbers))


def term_weights(
    epoch: int,
    *,
    epochs: int,
    terms: Sequence[str],
    weights: Mapping[str, float],
    alw: Alw | None,
    label_terms: Mapping[str, float] = _NO_TERMS,
) -> dict[str, float]:
    """The factor of cross-entropy (``ce``) and of every term in an epoch counted from 0.

    Args:
        epoch: 0 .. epochs − 1.
        epochs: Of the whole run.
        terms: The method's terms.
        weights: λ of every term.
        alw: None, or decay ``none``: every term at its λ and cross-entropy at 1, throughout.
        label_terms: λ of terms that, as cross-entropy, compare with the labels; they grow with it.
    """
    factors = {"ce": 1.0, **label_terms, **{term: weights[term] for term in terms}}
    if alw is None or alw.decay == "none":
        return factors
    growing = alpha(epoch, epochs=epochs, decay=alw.decay, **alw.numbers_of_decay)
    decaying = {"kd"} if alw.scope == "paper" else set(terms)
    rest = 1.0 if alw.scope == "distillation" else growing
    return {name: factor * (1 - growing if name in decaying else rest) for name, factor in factors.items()}
