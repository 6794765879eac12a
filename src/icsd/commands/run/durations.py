"""Estimates how long a stage will take: from its last run, from similar stages, or from its log."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from icsd.files import write_json

_EPOCH = re.compile(r"epoch (\d+)/(\d+)\b.* (\d+) s left$")
"""The line that training prints after every epoch."""
_TAIL_BYTES = 4096


class Durations:
    """Seconds of stages, remembered from one execution to the next.

    Args:
        file: Where they are stored; a file with other content counts as empty.
        costs: Stage -> the cost file that it has written, for stages that ``file`` does not have.
    """

    def __init__(self, file: Path, costs: Mapping[str, Path]) -> None:
        self._file = file
        found = {stage: _number(_json(path).get("seconds_training")) for stage, path in costs.items()}
        found |= {stage: _number(seconds) for stage, seconds in _json(file).items()}
        self._known = {stage: seconds for stage, seconds in found.items() if seconds is not None}

    def expected(self, stage: str) -> float | None:
        """Seconds that a stage will take, from itself or the most similar stages; None if none is known.

        For ``baselines@kd-resnet18-0`` these are other seeds such as ``baselines@kd-resnet18-1``, then other
        networks of the method, then other stages of ``baselines``, then all stages.
        """
        if stage in self._known:
            return self._known[stage]
        kind = stage
        while kind:
            kind = kind[: max(kind.rfind("-"), kind.rfind("@"), 0)]
            kin = [seconds for name, seconds in self._known.items() if kind and _is_of(name, kind)]
            if kin:
                return fmean(kin)
        return fmean(self._known.values()) if self._known else None

    def remember(self, stage: str, seconds: float) -> None:
        """Keep how long a stage took."""
        self._known[stage] = seconds
        write_json(self._file, {name: round(known, 1) for name, known in self._known.items()})


def _is_of(name: str, kind: str) -> bool:
    return name == kind or name.startswith((f"{kind}-", f"{kind}@"))


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < float("inf") else None


def epoch_in(log: Path) -> tuple[int, int, float] | None:
    """The last finished epoch, the number of epochs and the seconds left, as a training's log has them."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if found := _EPOCH.search(line):
            return int(found[1]), int(found[2]), float(found[3])
    return None
