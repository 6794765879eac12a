"""Files of a made-up grid's champions, as the stage ``deploy`` leaves them; nothing was exported."""

from pathlib import Path
from typing import Any

import numpy as np
from tests.reporting.tree import Tree, hash_of, write_json


def worse(confusion: np.ndarray, pixels: dict[int, int]) -> np.ndarray:
    """Move this many pixels per class and image to the prediction of the next class."""
    changed = confusion.copy()
    for index, number in pixels.items():
        moved = np.minimum(number, changed[:, index, index])
        changed[:, index, index] -= moved
        changed[:, index, (index + 1) % confusion.shape[1]] += moved
    return changed


def write_deployed(
    tree: Tree, method: str, lost: dict[str, dict[int, int]], *, student: str = "resnet18", seed: int = 0
) -> Path:
    """The files of one student.

    Args:
        tree: The grid, written.
        method: The champion's method.
        lost: Format -> class -> pixels per image that the file gets wrong and its network right.
    """
    folder = tree.root / "deployed" / tree.dataset
    results = tree.folder("results", method, student, seed)
    stored = np.load(results / "confusion.npz")
    times: dict[str, Any] = {"bytes": 4_000_000, "p50_ms": 8.0, "p95_ms": 9.5}
    files = []
    for place, (name, pixels) in enumerate(lost.items()):
        file = folder / student / f"{name}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, confusion=worse(stored["confusion"], pixels), ids=stored["ids"])
        own = {"bytes": 4_000_000 // (1 + place), "p50_ms": 5.0 / (1 + place), "p95_ms": 6.0 / (1 + place)}
        files.append(own | {"format": name, "file": f"{name}.x", "sha256": "0" * 64, "confusion": file.name})
    described = {
        "student": student,
        "method": method,
        "seed": seed,
        "weights_sha256": f"{abs(hash_of(method, seed)):064x}",
        "reason": "it is",
        "own": times,
        "alone": None if method == "none" else times,
        "teacher": times | {"p50_ms": 50.0, "p95_ms": 61.0, "bytes": 90_000_000},
        "files": files,
    }
    record = {
        "schema": 1,
        "dataset": tree.dataset,
        "students": [described],
        "size": [96, 96],
        "threads": 1,
        "machine": "a machine",
        "preprocessing": "outside",
    }
    write_json(folder / "deployment.json", record)
    return folder
