"""The run that a file came from, if its results exist here."""

from dataclasses import dataclass
from pathlib import Path

from icsd.arrays import read_arrays
from icsd.deployment.measuring import Counts
from icsd.errors import UserError
from icsd.records import MetricsRecord, read_record


@dataclass(frozen=True)
class Origin:
    """The evaluated run that a file came from.

    Attributes:
        folder: The folder of its results.
        metrics: Its scores.
        confusion: [N, C, C], one matrix per image.
        ids: Ids of the images.
    """

    folder: Path
    metrics: MetricsRecord
    confusion: Counts
    ids: tuple[str, ...]


def origin_of(root: Path, weights_sha256: str) -> Origin | None:
    """The results of the run whose training wrote these weights; None if there are none."""
    for path in sorted((root / "results").glob("**/metrics.json")):
        try:
            metrics = read_record(path, MetricsRecord)
            if metrics.weights_sha256 != weights_sha256:
                continue
            layout = {"confusion": ("integer", 3), "ids": ("text", 1)}
            arrays = read_arrays(path.with_name("confusion.npz"), layout)  # type: ignore[arg-type]
        except (UserError, FileNotFoundError):
            continue
        return Origin(path.parent, metrics, arrays["confusion"], tuple(arrays["ids"].tolist()))
    return None
