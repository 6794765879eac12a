"""Published results, to stand beside measured ones; published.csv holds them with protocol and source."""

from functools import cache
from pathlib import Path

import pandas as pd

# The paper whose method this is, then its authors' follow-up, which reuses the same networks and baselines.
OWN_PAPERS = ("AICSD", "AttnFD")


@cache
def _all() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("published.csv"))


def published(dataset: str, student: str, method: str, metric: str = "miou") -> dict[str, object] | None:
    """The value AICSD's authors published for a DeepLabV3+ student, or None.

    Args:
        dataset: ``voc2012``, ``cityscapes``, ...
        student: Backbone; for the teacher its own backbone.
        method: ``none``, ``aicsd``, ..., ``teacher``.
        metric: ``miou`` or ``class_accuracy`` (printed as "Accuracy" by its authors).

    Returns:
        The row of published.csv: ``mean`` and ``std`` in percent (std None where not given), ``source``, ...
    """
    rows = _all()
    wanted = rows[
        (rows["dataset"] == dataset)
        & (rows["student"] == student)
        & (rows["method"] == method)
        & (rows["metric"] == metric)
    ]
    for paper in OWN_PAPERS:
        for row in wanted[wanted["paper"] == paper].to_dict("records"):
            return {str(name): None if pd.isna(value) else value for name, value in row.items()}
    return None


def published_on(dataset: str) -> pd.DataFrame:
    """Every published row of a dataset, other architectures and protocols included, in the file's order."""
    rows = _all()
    return rows[rows["dataset"] == dataset].reset_index(drop=True)
