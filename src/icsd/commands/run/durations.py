"""How long a stage will take: as it took before, as others of its kind take, as its log says."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from icsd.files import write_json

_EPOCH = re.compile(r"epoch (\d+)/(\d+)\b.* (\d+) s left$")
"""What training prints after every epoch."""
_TAIL_BYTES = 4096


class Durations:
    """Seconds of stages, remembered from one execution to the next.

    Args:
        file: Where they are kept; any content but its own is taken for none.
        costs: Stage -> file of costs that it has written; for stages of which nothing is remembered.
    """

    def __init__(self, file: Path, costs: Mapping[str, Path]) -> None:
        self._file = file
        found = {stage: _number(_json(path).get("seconds_training")) for stage, path in costs.items()}
        found |= {stage: _number(seconds) for stage, seconds in _json(file).items()}
        self._known = {stage: seconds for stage, seconds in found.items() if seconds is not None}

    def expected(self, stage: str) -> float | None:
        """Seconds that a stage will take, from itself or its nearest kin; None where nothing is known.

        ``baselines@kd-resnet18-0`` is first of all like ``baselines@kd-resnet18-1``, then like other
        networks of the method, then like other stages under ``baselines``.
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
    """The epoch that a training has finished, of how many, and the seconds that it says are left."""
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
