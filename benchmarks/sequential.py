"""How often `python -m pipeline worth` is wrong, and how soon it finds an existing gain.

``--levels`` instead simulates the table of ``icsd.reporting.statistics.sequential``, which takes minutes.
"""

import argparse
from collections.abc import Callable

import numpy as np
from measuring import section
from numpy.typing import NDArray

from icsd.reporting.statistics.estimates import LEVEL
from icsd.reporting.statistics.sequential import FIRST, LAST, nominal_level, p_at_looks

Values = NDArray[np.float64]
MARGIN, CHUNK = 0.5, 10_000
LEVELS = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5)
NOISES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Values]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "uniform": lambda random, shape: random.uniform(-(3**0.5), 3**0.5, shape),
    "t, 5 degrees": lambda random, shape: random.standard_t(5, shape) / (5 / 3) ** 0.5,
    "skewed (exponential)": lambda random, shape: 1 - random.exponential(1.0, shape),
}
"""Noise of a training's score, with mean 0 and standard deviation 1; the skewed one has only a lower tail."""


def main() -> None:
    """Print a row per kind of noise, standard deviation and number of methods."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--levels", action="store_true")
    arguments = parser.parse_args()
    if arguments.levels:
        _print_levels()
        return
    trials = CHUNK if arguments.quick else 10 * CHUNK
    cases = [("normal", deviation, methods) for methods in (1, 2, 4, 8) for deviation in (0.2, 1.0, 4.0)]
    cases += [(noise, 1.0, methods) for noise in list(NOISES)[1:] for methods in (1, 4)]
    text = (
        f"One test after every seed from {FIRST} to {LAST}, {trials:,} simulated questions per row. For "
        "false answers (about any method), the true gain equals the margin; for the number of seeds "
        "needed, it is 3 standard deviations above the margin, or 1. *Plain*: a t test at 5 % after every "
        "seed. All methods share the noise of the student alone."
    )
    header = [
        *("noise", "deviation", "methods", "false “worth it” %", "false “not worth it” %", "plain %"),
        *("3 σ: seeds, median", "95 % within", "1 σ: found %"),
    ]
    print(
        section(
            "Is distilling worth it: errors of the rule",
            text,
            header,
            [_row(*case, trials) for case in cases],
        )
    )


def _row(noise: str, deviation: float, methods: int, trials: int) -> list[object]:
    level = nominal_level(LEVEL / methods)
    errors, needed, found = np.zeros(3), list[Values](), 0.0
    for chunk in range(trials // CHUNK):
        random = np.random.default_rng([chunk, methods, int(10 * deviation), list(NOISES).index(noise)])
        null = _gains(random, noise, methods, deviation)
        p = p_at_looks(null + MARGIN, MARGIN)
        errors += [each.any(axis=(1, 2)).mean() for each in (p < level, 1 - p < level, p < LEVEL)]
        large = p_at_looks(null[:, 0] + 3 * deviation, 0.0) < level
        needed.append(np.where(large.any(axis=1), np.argmax(large, axis=1) + FIRST, LAST + 1))
        found += (p_at_looks(null[:, 0] + deviation, 0.0) < level).any(axis=1).mean()
    share = 100 * CHUNK / trials
    seeds = np.concatenate(needed)
    return [
        *(noise, deviation, methods, *(f"{share * each:.2f}" for each in errors)),
        *(int(np.median(seeds)), int(np.quantile(seeds, 0.95)), f"{share * found:.0f}"),
    ]


def _gains(random: np.random.Generator, noise: str, methods: int, deviation: float) -> Values:
    """Differences from the student alone without a gain, of this deviation, [trials, methods, seeds]."""
    own, alone = (NOISES[noise](random, (CHUNK, number, LAST)) for number in (methods, 1))
    return (own - alone) * deviation / 2**0.5


def _print_levels() -> None:
    """Print nominal p and overall level as in the table: three standard errors below the simulated p."""
    random = np.random.default_rng(20261128)
    smallest = np.concatenate(
        [p_at_looks(random.standard_normal((50_000, LAST)), 0.0).min(axis=1) for _ in range(120)]
    )
    smallest.sort()
    for level in LEVELS:
        error = np.sqrt(level * (1 - level) / len(smallest))
        print(f"{smallest[int(len(smallest) * (level - 3 * error))]:.3g}, {level}")


if __name__ == "__main__":
    main()
