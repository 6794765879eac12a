"""How often the report calls chance a clear gain, and how often it detects a real gain.

``PYTHONPATH=src:. python benchmarks/false_positives.py --trials 200``

The networks of a simulated grid differ by chance alone, and the report's own tables and sentences are made
for them. Printed are the share of reports that call any method "a clear gain" (nominal 2.5 %: 5 % for both
signs) and the share whose letters separate any two methods (nominal 5 %). Two other rules are applied to the
same tables: that of earlier versions, and Satterthwaite's degrees of freedom. Then half of the methods get a
real gain of four standard errors, and the share of these that is called clear is printed.
"""

import argparse
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from tests.reporting.simulated import chance_results

from icsd.reporting.differences import resample
from icsd.reporting.page.answer import verdict
from icsd.reporting.statistics.estimates import holm
from icsd.reporting.tables import comparison

NUM_IMAGES, RESAMPLES = 50, 100
OF_SEEDS = 0.05


def main() -> None:
    """Print a line per number of seeds and share of the images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--methods", type=int, default=22, help="the student alone among them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 10, 20])
    parser.add_argument("--ratios", type=float, nargs="+", default=[0, 0.05, 1, 5])
    arguments = parser.parse_args()
    print(
        "seeds  images/seeds | false gain: report  earlier  Satterthwaite | letters | true gains seen: report"
    )
    for num_seeds in arguments.seeds:
        for ratio in arguments.ratios:
            print(_line(arguments.methods, num_seeds, ratio, arguments.trials), flush=True)


def _line(num_methods: int, num_seeds: int, ratio: float, trials: int) -> str:
    """Variance over the choice of images relative to that of one training."""
    random = np.random.default_rng([num_seeds, int(100 * ratio)])
    false, seen = np.zeros(4), list[float]()
    gain = 4 * OF_SEEDS * np.sqrt(2 / num_seeds + 2 * ratio)
    gains = tuple(gain if index % 2 else 0.0 for index in range(num_methods - 1))
    for trial in range(trials):
        table = _table(random, num_methods, num_seeds, ratio, (), trial)
        split = table["group"].nunique() > 1
        found = (_clear(table).any(), _earlier(table).any(), _satterthwaite(table).any(), split)
        false += np.array(found, dtype=float)
        if trial % 5 == 0:
            real = _clear(_table(random, num_methods, num_seeds, ratio, gains, trial))
            seen.append(real[[name != "none" and int(name[1:]) % 2 == 0 for name in table["method"]]].mean())
    report, earlier, satterthwaite, split = 100 * false / trials
    return (
        f"{num_seeds:5d}  {ratio:12g} | {report:18.1f}  {earlier:7.1f}  {satterthwaite:13.1f} | "
        f"{split:7.1f} | {100 * np.mean(seen):23.0f}"
    )


def _table(
    random: np.random.Generator,
    num_methods: int,
    num_seeds: int,
    ratio: float,
    gains: tuple[float, ...],
    trial: int,
) -> pd.DataFrame:
    results = chance_results(
        random,
        num_methods=num_methods,
        num_seeds=num_seeds,
        of_seeds=OF_SEEDS,
        of_images=OF_SEEDS * np.sqrt(ratio),
        num_images=NUM_IMAGES,
        gains=gains,
    )
    table = comparison.rows(results, resample(results, resamples=RESAMPLES, seed=trial))
    return table[table["method"] != "teacher"]


def _clear(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Methods that the report's own sentences call a clear gain."""
    records: Any = table.to_dict("records")
    rows = [{**row, "n": row["n_pairs"]} for row in records]
    return np.array([row["n"] > 0 and verdict(row) == "a clear gain" for row in rows])


def _earlier(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Holm on the paired t-test over seeds, and an uncorrected interval that excludes zero."""
    num_pairs = table["n_pairs"].to_numpy(float)
    t = (table["delta_mean"] / table["delta_std"]).to_numpy() * np.sqrt(num_pairs)
    return _established(table, 2 * special.stdtr(num_pairs - 1, -np.abs(t)))


def _satterthwaite(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Holm on a t-test whose variance is the sum of both, with Satterthwaite's degrees of freedom."""
    degrees, others = table["n_pairs"].to_numpy(float) - 1, NUM_IMAGES - 1
    of_seeds = table["delta_std"].to_numpy() ** 2 / (degrees + 1)
    half = (table["delta_high"] - table["delta_low"]).to_numpy() / 2
    rest = half**2 - special.stdtrit(degrees, 0.975) ** 2 * of_seeds
    of_images = (rest / special.stdtrit(others, 0.975) ** 2).clip(min=0)
    total = of_seeds + of_images
    effective = total**2 / (of_seeds**2 / degrees + of_images**2 / others)
    p = 2 * special.stdtr(effective, -np.abs(table["delta_mean"].to_numpy()) / np.sqrt(total))
    return _established(table.assign(delta_low=np.inf), p)


def _established(table: pd.DataFrame, p_values: NDArray[np.float64]) -> NDArray[np.bool_]:
    corrected = holm([None if np.isnan(p) else float(p) for p in p_values])
    small = np.array([p is not None and p < 0.05 for p in corrected])
    return small & (table["delta_mean"] > 0).to_numpy() & (table["delta_low"] > 0).to_numpy()


if __name__ == "__main__":
    main()
