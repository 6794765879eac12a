"""The factors that a search tries, and the choice among them."""

import math
from collections.abc import Mapping


def factors(trials: int, largest: float) -> list[float]:
    """Factors between ``1 / largest`` and ``largest``, 1 first, to three digits.

    They are the points of van der Corput's sequence in base 2 (1/2, 1/4, 3/4, 1/8, …) on a logarithmic scale:
    every prefix is spread as evenly as possible, and more trials extend a shorter search.
    """
    points = (int(f"{number:b}"[::-1], 2) / 2 ** number.bit_length() for number in range(1, trials + 1))
    return [float(f"{largest ** (2 * point - 1):.3g}") for point in points]


def best_factor(miou: Mapping[float, float]) -> float:
    """The factor with the highest mIoU; ties go to the one nearest to 1, the block's own weights."""
    return max(miou, key=lambda factor: (miou[factor], -abs(math.log(factor))))


def scaled(weights: Mapping[str, float], factor: float) -> dict[str, float]:
    """Every weight times the factor, to six digits; with factor 1 exactly the given weights."""
    return {
        term: weight if factor == 1 else float(f"{weight * factor:.6g}") for term, weight in weights.items()
    }
