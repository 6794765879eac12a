"""Checks that the numbers in masks mean what they should: another numbering is read without an error.

Masks are plain numbers: with classes counted from 1, train ids under the name of label ids, or classes in
another order, they still look valid to a program. Only a whole split shows the difference, by which numbers
occur and how many pixels each has. These are compared with those of the complete published splits, with wide
margins (CamVid's three splits differ by at most a factor of 5 in any common class).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from icsd.core.labels import IGNORE, Pixels
from icsd.datasets.base import Numbering
from icsd.datasets.findings import Finding

Counts = NDArray[np.int64]
"""Pixels by number, [256]."""

_COMMON, _RARE = 0.1, 0.02
"""Minimum share of a common class, and maximum share of a rare one."""
_TOO_LITTLE = 20  # factor by which a common class is below its share
_TOO_MUCH = 0.2  # share of all pixels, for a rare class
_FAR, _NEAR = 0.35, 0.15  # total variation distances between two lists of shares


def unknown_numbers(numbers: Counts, numbering: Numbering) -> Iterator[Finding]:
    """Finds numbers that no published mask holds."""
    unknown = [number for number in np.flatnonzero(numbers).tolist() if number not in numbering.known]
    if unknown:
        values = ", ".join(f"{number} ({numbers[number]} pixels)" for number in unknown)
        if unknown == [IGNORE]:
            yield Finding(
                text=f"label values that are no class: {values}. If these pixels belong to no class, list "
                f"{IGNORE} under `ignore`; in black and white masks, white is the number of a class"
            )
            return
        yield Finding(
            text=f"label values that are no class: {values}; looked for {_ranges(numbering.known)}. Labels "
            "of another variant (other number of classes, raw ids), or resized with interpolation"
        )


def other_meanings(numbers: Counts, numbering: Numbering, classes: Sequence[str]) -> Iterator[Finding]:
    """Finds evidence that the numbers of a complete published split mean something else.

    Args:
        numbers: [256], pixels by number in the masks.
        numbering: what the numbers should mean.
        classes: names, by train id.
    """
    contradictions = list(_contradictions(numbers, numbering.train_ids, numbering.shares, classes))
    if not contradictions:
        return
    fitting = [
        name
        for name, table in numbering.others.items()
        if not list(_contradictions(numbers, table, numbering.shares, classes, with_ignored=False))
    ]
    guess = f" They would be right as {fitting[0]}." if fitting else ""
    found = ", ".join(
        f"{number} ({numbers[number] / numbers.sum():.1%})" for number in np.flatnonzero(numbers)
    )
    yield Finding(
        text=f"the numbers in the masks do not mean what they should: {'; '.join(contradictions)}. Found: "
        f"{found}.{guess} Use the published masks"
    )


def _contradictions(
    numbers: Counts,
    train_ids: Pixels,
    expected: Sequence[float],
    classes: Sequence[str],
    *,
    with_ignored: bool = True,
) -> Iterator[str]:
    """Reasons why ``numbers``, mapped by ``train_ids``, cannot be the published labels."""
    pixels = np.bincount(train_ids, weights=numbers, minlength=256)
    shares = np.append(pixels[: len(classes)], pixels[IGNORE]) / max(1, numbers.sum())
    missing = [name for name, share in zip(classes, shares, strict=False) if not share]
    if missing:
        yield f"there is no pixel of {', '.join(missing)}"
    if not expected:
        return
    if with_ignored and not shares[-1]:
        yield f"no pixel is ignored, where {expected[-1]:.1%} should be"
    for name, share, usual in zip(classes, shares, expected, strict=False):
        too_little = usual >= _COMMON and 0 < share < usual / _TOO_LITTLE
        if too_little or (usual <= _RARE and share > _TOO_MUCH):
            yield f"{name} has {share:.1%} of all pixels, where about {usual:.1%} are published"
    if _is_shifted(numbers, train_ids, expected):
        yield (
            f"number 0 has {numbers[0] / numbers.sum():.1%} of all pixels, as unlabelled ones should have, "
            f"and not {classes[0]}, whose share is about {expected[0]:.1%}"
        )
    usual_shares = np.array(expected)
    in_order = np.abs(np.sort(shares) - np.sort(usual_shares)).sum() / 2
    if np.abs(shares - usual_shares).sum() / 2 > _FAR and in_order < _NEAR:
        yield "the shares are those of the published labels, but in another order of the classes"


def _is_shifted(numbers: Counts, train_ids: Pixels, expected: Sequence[float]) -> bool:
    """Whether number 0 has the share of ignored pixels, not of the first class, as in shifted numberings."""
    share, first, ignored = numbers[0] / max(1, numbers.sum()), expected[0], expected[-1]
    return bool(train_ids[0] == 0 and share < first / 3 and ignored / 2 < share < ignored * 2)


def _ranges(numbers: frozenset[int]) -> str:
    """``0 to 11 and 255``."""
    highest = max(numbers - {IGNORE})
    return f"0 to {highest}{f' and {IGNORE}' if IGNORE in numbers else ''}"
