"""Golden values of the methods: what each gave on made-up taps when its numbers were last meant to change.

Write them anew with ``PYTHONPATH=src python -m tests.golden.methods`` and say in the commit why they changed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from icsd.methods import METHODS, build_method

PATH = Path(__file__).with_suffix(".json")
CHANNELS = {"stage1": 4, "stage2": 6, "stage3": 8, "stage4": 10, "aspp": 12, "decoder": 12, "logits": 5}
SIZES = {"stage1": 8, "stage2": 4, "stage3": 2, "stage4": 2, "aspp": 2, "decoder": 8, "logits": 8}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "icsd, temperature 2": ("icsd", {"temperature": 2.0}),
    "icsd, all pixels at input resolution": ("icsd", {"resolution": "input", "ignored": "include"}),
    "icsd, rows l2": ("icsd", {"rows": "l2"}),
    "icsd, released": ("icsd", {"variant": "released"}),
    "attnfd, pooled": ("attnfd", {"teacher_attention": "pooled"}),
    "csd, valid pixels": ("csd", {"ignored": "exclude"}),
    "cwd, features": ("cwd", {"tap": "decoder"}),
    "ickd, features in patches": ("ickd", {"tap": "decoder", "grid": 3}),
    "kd, temperature 4": ("kd", {"temperature": 4.0}),
    "lad, channels": ("lad", {"normalise": "channel"}),
    "lad, pixels": ("lad", {"normalise": "pixel"}),
    "kd, all pixels at input resolution": ("kd", {"resolution": "input", "ignored": "include"}),
}


def values() -> dict[str, dict[str, float]]:
    """Every term of every method with its defaults, and of some variants."""
    defaults: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in METHODS}
    return {case: _terms(name, options) for case, (name, options) in {**defaults, **VARIANTS}.items()}


def _terms(name: str, options: dict[str, Any]) -> dict[str, float]:
    method_class = METHODS[name]
    if method_class is None:
        return {}
    block = {"alw": False, "weights": dict.fromkeys(method_class.terms, 1.0), **options}
    torch.manual_seed(0)  # for methods with adapters
    method = build_method(name, block, student_channels=CHANNELS, teacher_channels=CHANNELS, num_classes=5)
    assert method is not None
    generator = np.random.default_rng(2308_04243)
    student, teacher = (
        {tap: torch.from_numpy(_normal(generator, tap)) for tap in CHANNELS} for _ in ("student", "teacher")
    )
    labels = generator.integers(0, 5, (2, 32, 32))
    labels[generator.random(labels.shape) < 0.2] = 255
    terms = method(student, teacher, torch.from_numpy(labels))
    return {term: float(f"{value.item():.7g}") for term, value in terms.items()}


def _normal(generator: np.random.Generator, tap: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return generator.standard_normal((2, CHANNELS[tap], SIZES[tap], SIZES[tap])).astype(np.float32)


if __name__ == "__main__":
    PATH.write_text(json.dumps(values(), indent=2) + "\n", encoding="utf-8")
