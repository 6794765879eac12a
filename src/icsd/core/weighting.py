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
"""Value of a decay's parameter; integers stay ints."""


@dataclass(frozen=True)
class Number:
    """A decay's parameter in the block ``alw``: its default, meaning and limits.

    Attributes:
        above: Exclusive lower limit.
        least: Inclusive lower limit.
        most: Inclusive upper limit.
    """

    default: Value
    meaning: str
    above: Value | None = None
    least: Value | None = None
    most: Value | None = None


@dataclass(frozen=True)
class Decay:
    """The shape in which the teacher's weight 1 − α falls over a run.

    Attributes:
        alpha: ``alpha(epoch, epochs, **numbers)`` is α in an epoch counted from 0.
        numbers: The keys of ``alw`` that it reads.
    """

    alpha: Callable[..., float]
    numbers: Mapping[str, Number] = field(default_factory=dict)


def _linear(epoch: int, epochs: int) -> float:
    """The teacher's weight is 1 − t with t = epoch / epochs, as published."""
    return epoch / epochs


def _cosine(epoch: int, epochs: int) -> float:
    """The teacher's weight falls from 1 to 0 along half a cosine wave."""
    return (1 - math.cos(math.pi * (epoch / epochs))) / 2


def _exponential(epoch: int, epochs: int, *, rate: float) -> float:
    """The teacher's weight is exp(−rate t), shifted and scaled to fall from 1 to 0."""
    return math.expm1(-rate * (epoch / epochs)) / math.expm1(-rate)


def _polynomial(epoch: int, epochs: int, *, power: float) -> float:
    """The teacher's weight is (1 − t)^power."""
    return 1.0 - math.pow(1 - epoch / epochs, power)


def _step(epoch: int, epochs: int, *, steps: int) -> float:
    """The teacher's weight falls from 1 to 0 in ``steps`` equal drops, between steps + 1 equal periods."""
    return min(epoch * (steps + 1) // epochs, steps) / steps


def _constant(epoch: int, epochs: int, *, constant: float) -> float:
    """The teacher's weight is ``constant`` in every epoch."""
    return 1 - constant


def _none(epoch: int, epochs: int) -> float:
    """The teacher's weight is 1; ``term_weights`` then leaves every term at its λ."""
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
"""The values of ``alw.decay``. The schema of ``alw`` and what is recorded and shown are derived from this."""

NUMBERS = {name: number for decay in DECAYS.values() for name, number in decay.numbers.items()}
"""The keys of ``alw`` besides ``decay`` and ``scope``."""


class Alw:
    """How the teacher's weight 1 − α decays, and which terms it applies to.

    Args:
        decay: A name in ``DECAYS``.
        scope: ``paper``: only the term ``kd`` decays, cross-entropy and every other term grow. ``teacher``:
            every distillation term decays, cross-entropy grows. ``distillation``: every distillation term
            decays, and cross-entropy has its full weight from the first epoch, which separates the effect of
            the teacher's decay from that of the labels' reduced weight.
        numbers: Values of ``NUMBERS`` that differ from their defaults.
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
        """The settings in effect: decay, scope, and the numbers that the decay reads."""
        return {"decay": self.decay, "scope": self.scope, **self.numbers_of_decay}


def alpha(epoch: int, *, epochs: int, decay: str, **numbers: Value) -> float:
    """α in an epoch: 1 minus the teacher's weight.

    Args:
        epoch: Epoch, from 0.
        epochs: Number of epochs of the run.
        decay: A name in ``DECAYS``.
        numbers: The decay's parameters that differ from their defaults.
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
    """The weights of cross-entropy (``ce``) and of every term in an epoch.

    Args:
        epoch: Epoch, from 0.
        epochs: Number of epochs of the run.
        terms: The method's terms.
        weights: λ of every term.
        alw: The schedule; with None or decay ``none``, cross-entropy has weight 1 and every term its λ.
        label_terms: λ of the other terms that compare with the labels; they grow with cross-entropy.
    """
    factors = {"ce": 1.0, **label_terms, **{term: weights[term] for term in terms}}
    if alw is None or alw.decay == "none":
        return factors
    growing = alpha(epoch, epochs=epochs, decay=alw.decay, **alw.numbers_of_decay)
    decaying = {"kd"} if alw.scope == "paper" else set(terms)
    rest = 1.0 if alw.scope == "distillation" else growing
    return {name: factor * (1 - growing if name in decaying else rest) for name, factor in factors.items()}
