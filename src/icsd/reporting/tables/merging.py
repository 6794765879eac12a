"""Merges the values of many runs into one text."""

from collections.abc import Callable, Mapping, Sequence

from icsd.reporting.results import Run
from icsd.reporting.style import method_label, network_label

_SPLITS: tuple[Callable[[Run], str], ...] = (
    lambda run: network_label(run.student),
    lambda run: method_label(run.method),
    lambda run: f"seed {run.seed}",
    lambda run: f"{network_label(run.student)} {method_label(run.method)} seed {run.seed}",
)
"""Labels by which values may differ, the simplest first."""


def merged(values: Sequence[tuple[Run, str | None]]) -> str:
    """Merge values into one text, split by student, method, seed or all of them where values differ."""
    if len({value for _, value in values}) == 1:
        return values[0][1] or ""
    for split in _SPLITS:
        groups: dict[str, set[str | None]] = {}
        for run, value in values:
            groups.setdefault(split(run), set()).add(value)
        if all(len(group) == 1 for group in groups.values()):
            return _listed({label: group.pop() for label, group in groups.items()})
    return ", ".join(sorted({value for _, value in values if value is not None}))


def _listed(values: Mapping[str, str | None]) -> str:
    """``A, B: one value; C: another``; only the labels where each value already contains its own."""
    labels: dict[str, list[str]] = {}
    for label, value in values.items():
        if value is not None:
            labels.setdefault(value, []).append(label)
    if all(own == [f"seed {value}"] for value, own in labels.items()):
        return ", ".join(labels)
    if all(own[0] in value for value, own in labels.items()):
        return "; ".join(labels)
    return "; ".join(f"{', '.join(own)}: {value}" for value, own in labels.items())
