"""Published values of the dataset, comparable or not."""

import pandas as pd

from icsd.records import TrainRecord
from icsd.reporting.literature.values import deviations, protocols, published_rows
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.cells import Cell, Display, missing, number, records, spread
from icsd.reporting.tables.columns import Column, Row, to_display


def rows(dataset: str, training: TrainRecord | None = None) -> pd.DataFrame:
    """Every published row of a dataset, other architectures and protocols included, in the file's order.

    Args:
        dataset: ``voc2012``, ``cityscapes``, ...
        training: Record of a student here; with it, ``deviations`` includes differences from its settings.

    Returns:
        The columns of published.csv, with ``note`` merged into ``protocol``, and ``deviations``.
    """
    printed = published_rows()
    printed = printed[printed["dataset"] == dataset].reset_index(drop=True)
    printed_values = records(printed)
    notes = printed["note"].fillna("")
    described = [
        "; ".join(filter(None, (protocols()[key].text, note)))
        for key, note in zip(printed["protocol"], notes, strict=True)
    ]
    differing = ["; ".join(deviations(row, training)) or None for row in printed_values]
    deviating = pd.Series(differing, dtype=object)
    return printed.assign(protocol=described, deviations=deviating).drop(columns="note")


def display(table: pd.DataFrame) -> Display:
    """Format the published values; each protocol gets a number and is described once, in the notes."""
    shared = table.groupby(["protocol", "deviations", "source"], sort=False, dropna=False)
    table = table.assign(number=shared.ngroup() + 1)
    columns: list[Column] = [
        ("Student", lambda row: Cell(f"{network_label(row['student'])} ({row['architecture']})")),
        ("Method", _method_and_variant),
        ("Metric", lambda row: Cell("mIoU" if row["metric"] == "miou" else "class accuracy")),
        ("%", lambda row: spread(row["mean"], row["std"])),
        ("Gain", lambda row: number(row["gain"], "+.2f")),
        ("Protocol", lambda row: number(row["number"], "d")),
    ]
    notes = [_protocol(row) for row in records(table.drop_duplicates("number"))]
    return to_display("published", "Published on this dataset", table, columns, notes)


def _protocol(row: Row) -> str:
    here = "" if missing(row["deviations"]) else f" Different from here: {row['deviations']}."
    return f"Protocol {row['number']} ({row['source']}): {row['protocol']}.{here}"


def _method_and_variant(row: Row) -> Cell:
    variant = "" if missing(row["variant"]) else f", {row['variant']}"
    return Cell(f"{method_label(row['method'])}{variant}")
