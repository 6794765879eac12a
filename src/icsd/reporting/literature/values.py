"""Published results, to be read next to measured ones.

published.csv has one row per printed number; protocols.yaml describes the protocols that rows refer to. A
value that one source quotes from another is listed once, under the source that measured it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from icsd.csv_files import Kind, read_rows
from icsd.errors import UserError
from icsd.records import TrainRecord
from icsd.reporting.results import Results
from icsd.yaml_files import read_yaml

# AICSD's own paper, then its authors' follow-up, which reuses the same networks and baselines.
OWN_PAPERS = ("AICSD", "AttnFD")
ARCHITECTURE = "deeplabv3plus"
_ARCHITECTURES = {
    "deeplabv3": "DeepLabV3",
    "pspnet": "PSPNet",
    "segformer": "SegFormer",
    "espnet": "ESPNet",
}
# A method here -> its name in its authors' tables.
_PRINTED = {"at": "ad"}
_READING_OF_AD = "printed as AD, a loss that is described nowhere: attention transfer is the reading (0.65)"
_COLUMNS: dict[str, Kind] = {
    **dict.fromkeys(("paper", "dataset", "teacher", "student", "architecture"), "text"),
    **dict.fromkeys(("method", "variant", "metric"), "text"),
    **dict.fromkeys(("mean", "std", "gain", "parameters"), "number"),
    **dict.fromkeys(("protocol", "note", "source"), "text"),
}
_OPTIONAL = ("teacher", "variant", "std", "gain", "parameters", "note")
_RESTORE = "the file belongs to the source code: bring it back with `git restore src`"

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a group of published numbers was obtained; None if a setting is not known."""

    text: str
    deviations: list[str]
    """Differences from every run of this project."""
    train_images: int | None = None
    epochs: int | None = None
    batch: int | None = None
    crop: list[int] | None = None
    output_stride: int | None = None


@cache
def protocols() -> dict[str, Protocol]:
    """Key -> protocol, for the column ``protocol`` of published.csv."""
    entries = read_yaml(Path(__file__).with_name("protocols.yaml"))
    return {str(key): Protocol(**entry) for key, entry in entries.items()}


@cache
def published_rows() -> pd.DataFrame:
    """published.csv as it is: percent, ``gain`` in points and ``parameters`` in millions as printed."""
    return read_published(Path(__file__).with_name("published.csv"))


def read_published(path: Path) -> pd.DataFrame:
    """A file in the form of published.csv; cells without a value are NaN or None.

    Raises:
        UserError: The file is damaged; the message names line and column.
    """
    rows = read_rows(path, _COLUMNS, optional=_OPTIONAL, advice=_RESTORE)
    if unknown := {str(row["protocol"]) for row in rows} - set(protocols()):
        raise UserError(f"{path}: protocol {min(unknown)!a} is not in protocols.yaml; {_RESTORE}")
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.astype({name: float for name, kind in _COLUMNS.items() if kind == "number"})


def published_value(dataset: str, student: str, method: str, metric: str = "miou") -> Row | None:
    """The value AICSD's authors published for a DeepLabV3+ student, or None.

    Args:
        dataset: ``voc2012``, ``cityscapes``, ...
        student: Backbone; for ``teacher``, the teacher's own backbone.
        method: ``none``, ``aicsd``, ..., ``teacher``; for ``at`` the row that they call AD.
        metric: ``miou`` or ``class_accuracy`` (printed as "Accuracy" by its authors).

    Returns:
        The row of published.csv: ``mean`` and ``std`` in percent (std None where not given), ``source``, ...
    """
    rows = published_rows()
    wanted = rows[
        (rows["dataset"] == dataset)
        & (rows["student"] == student)
        & (rows["architecture"] == ARCHITECTURE)
        & (rows["method"] == _PRINTED.get(method, method))
        & (rows["metric"] == metric)
    ]
    for paper in OWN_PAPERS:
        for row in wanted[wanted["paper"] == paper].to_dict("records"):
            return {str(name): None if pd.isna(value) else value for name, value in row.items()}
    return None


def matching_value(results: Results, student: str, method: str, metric: str = "miou") -> Row | None:
    """:func:`published_value` with a text ``deviations``; None unless the networks match too.

    Networks match if student and teacher are DeepLabV3+ with the published backbones at full width; a network
    whose train.json is missing is assumed to match.
    """
    row = published_value(results.dataset, student, method, metric)
    if row is None:
        return None
    runs = [run for run in results.runs.values() if run.student == student]
    training = next((run.training for run in runs if run.training), None)
    teacher = results.teacher.training
    same = all(
        known is None or _built(known) == ("deeplabv3plus", row[role], 1.0)
        for role, known in (("student", training), ("teacher", teacher))
    )
    return row | {"deviations": "; ".join(deviations(row, training))} if same else None


def _built(training: TrainRecord) -> tuple[str, str, float]:
    network = training.network
    return network.architecture, network.backbone, network.width


def deviations(row: Row, training: TrainRecord | None = None) -> list[str]:
    """Where the protocol of a row of published.csv differs from that of this project.

    Args:
        row: A row with at least ``architecture``, ``method`` and ``protocol``.
        training: A student's record; without it only differences from every run are named.
    """
    protocol = protocols()[row["protocol"]]
    network = _ARCHITECTURES.get(row["architecture"])
    named = [f"{network} instead of DeepLabV3+"] if network else []
    named += [_READING_OF_AD] if row["method"] == _PRINTED["at"] else []
    return [*named, *protocol.deviations, *(_settings(protocol, training) if training else [])]


def _settings(protocol: Protocol, training: TrainRecord) -> list[str]:
    height, width = training.crop
    pairs = (
        ("{} training images, here {}", protocol.train_images, training.num_train_images),
        ("{} epochs, here {}", protocol.epochs, training.epochs),
        ("batch {}, here {}", protocol.batch, training.batch),
        ("crop {}, here {}", protocol.crop and " × ".join(map(str, protocol.crop)), f"{height} × {width}"),
        ("output stride {}, here {}", protocol.output_stride, training.network.output_stride),
    )
    named = [form.format(theirs, ours) for form, theirs, ours in pairs if theirs not in (None, ours)]
    named += [f"full width, here {training.network.width:g}"] if training.network.width != 1 else []
    return named + (["ImageNet weights, here from scratch"] if training.pretrained is False else [])
