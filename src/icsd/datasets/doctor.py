"""The doctor checks that prepared data are the published dataset; its findings go into doctor.json.

Errors stop the pipeline. Warnings change how results must be read, or need a person's judgement. Facts are
for the protocol card.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from icsd.data.manifest import Manifest, SplitManifest
from icsd.datasets.base import Numbering
from icsd.datasets.findings import Finding, Findings, counted
from icsd.datasets.meaning import Counts, other_meanings, unknown_numbers

_LARGE_IGNORED_SHARE = 0.5
_SCARCE_SHARE = 1e-4
"""A class with a smaller share of a split's labelled pixels hardly counts in training; its IoU is noise."""
_LEAST_WHITE = 1 << 14
"""Some pixel of a split's images of 16 bits is at least as bright as a quarter of white."""
_TRAIN, _REPORT = "train", "report"


@dataclass(frozen=True)
class Expectation:
    """What is known about a published split; None if unknown.

    Attributes:
        num_images: published number of images.
        labels_sha256: digest of all labels, as train ids in the order of their sorted ids.
        numbering: meaning of the masks' numbers, checked if the split is as large as published.
    """

    num_images: int | None = None
    labels_sha256: str | None = None
    numbering: Numbering | None = None


@dataclass
class Decoded:
    """What was noticed while a split's files were decoded.

    Attributes:
        problems: one text per problem that makes a sample unusable.
        remarks: warnings of the decoder about usable samples.
        unmasked: ids of images without a mask, if the dataset allows them.
        empty: ids of masks in which every pixel is ignored.
        brightest_of_16_bits: the largest number in each image that stores 16 bits a channel.
        turned: ids of images that their EXIF orientation turned, and whose masks would fit unturned too.
        numbers: [256], pixels by number in the masks, before the mapping to train ids.
        known: the numbering that has every number a published mask may hold.
    """

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    unmasked: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    brightest_of_16_bits: list[int] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    numbers: Counts = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    known: Numbering | None = None


def examine(
    manifest: Manifest,
    *,
    expected: Mapping[str, Expectation],
    decoded: Mapping[str, Decoded] | None = None,
    problems: Sequence[str] = (),
) -> Findings:
    """Examines a preprocessed dataset.

    Args:
        manifest: manifest of its shards.
        expected: split -> what is known about it; splits without an entry are not compared.
        decoded: split -> what was noticed while its files were read; None for generated data.
        problems: reasons why whole splits could not be read.
    """
    errors, warnings = [Finding(text=problem) for problem in problems], list[Finding]()
    facts: dict[str, dict[str, object]] = {}
    for name, split in manifest.splits.items():
        known, seen = expected.get(name, Expectation()), (decoded or {}).get(name, Decoded())
        errors += _of_split(name, _errors(split, known, seen, manifest.classes))
        warnings += _of_split(name, _warnings(split, known, seen, manifest.classes))
        if name == _TRAIN:
            warnings += _untaught(manifest)
        facts[name] = _facts(split, known, manifest.classes, seen.numbers)
    as_published = all(
        name in manifest.splits and known.num_images == len(manifest.splits[name].ids)
        for name, known in expected.items()
    ) and bool(expected)
    # Users cannot fix images that published splits share; in any other data they are a leak.
    (warnings if as_published else errors).extend(_shared_images(manifest))
    warnings += _similar_ids(manifest)
    return Findings(errors=tuple(errors), warnings=tuple(warnings), facts=facts)


def _of_split(name: str, findings: Iterator[Finding]) -> list[Finding]:
    return [Finding(text=f"{name}: {found.text}", cases=found.cases) for found in findings]


def _errors(
    split: SplitManifest, known: Expectation, seen: Decoded, classes: Sequence[str]
) -> Iterator[Finding]:
    num_images = len(split.ids)
    if seen.problems:
        yield counted("{} samples cannot be used", seen.problems)
    if not num_images:
        yield Finding(text="no images")
    yield from _too_dark(seen.brightest_of_16_bits)
    found = num_images + len(seen.problems)
    if known.num_images is not None and found != known.num_images:
        yield Finding(
            text=f"{found} images, but {known.num_images} are published: "
            "get the complete dataset, or a different version of it was given"
        )
    if seen.known:
        yield from unknown_numbers(seen.numbers, seen.known)
    elif split.illegal_pixels:
        values = ", ".join(f"{value} ({count} pixels)" for value, count in split.illegal_pixels.items())
        yield Finding(text=f"label values that are no class: {values}")
    if known.numbering and num_images and found == known.num_images:
        yield from other_meanings(seen.numbers, known.numbering, classes)
    repeated = [id_ for id_, count in Counter(split.ids).items() if count > 1]
    if repeated:
        yield counted("{} ids occur more than once", repeated)


def _warnings(
    split: SplitManifest, known: Expectation, seen: Decoded, classes: Sequence[str]
) -> Iterator[Finding]:
    if absent := _absent(split, classes):
        yield Finding(text=f"no pixel of {', '.join(absent)}; means over classes leave them out")
    yield from _scarce(split, classes)
    if (share := _ignored_share(split)) > _LARGE_IGNORED_SHARE:
        yield Finding(text=f"{share:.0%} of all pixels are ignored")
    if known.labels_sha256 not in {None, split.labels_sha256}:
        yield Finding(text="the labels are not the published ones; numbers are not comparable with others'")
    if seen.remarks:
        yield counted("the decoder remarks on {} files, which it can read", seen.remarks)
    if seen.turned:
        yield counted(
            "{} images are turned as their camera noted (EXIF), and their masks would fit the unturned "
            "images, too; look at them, or save the images without that note",
            seen.turned,
        )
    if seen.unmasked:
        yield counted("{} images have no mask; all of their pixels are ignored", seen.unmasked)
    if seen.empty:
        yield counted("{} masks hold nothing but ignored pixels", seen.empty)
    doubles = [ids for ids in _ids_by_image(split).values() if len(ids) > 1]
    if doubles:
        yield counted("{} images occur more than once", [" = ".join(ids) for ids in doubles])


def _too_dark(brightest_of_16_bits: Sequence[int]) -> Iterator[Finding]:
    """Images of 10, 12 or 14 bits, stored in 16: read by what white is in 16 bits, they are nearly black."""
    brightest = max(brightest_of_16_bits, default=0)
    if 0 < brightest < _LEAST_WHITE:
        yield Finding(
            text=f"{len(brightest_of_16_bits):,} images store 16 bits a channel and use "
            f"{brightest.bit_length()} of them (their largest number is {brightest:,}), so that they would "
            "be read as nearly black: save them with 8 bits a channel, or scale them so that white is 65,535"
        )


def _facts(
    split: SplitManifest, known: Expectation, classes: Sequence[str], numbers: Counts
) -> dict[str, object]:
    sizes = Counter(zip(split.heights, split.widths, strict=True))
    return {
        "num_images": len(split.ids),
        "num_images_published": known.num_images,
        "labels_sha256": split.labels_sha256,
        "labels_as_published": None
        if known.labels_sha256 is None
        else known.labels_sha256 == split.labels_sha256,
        "ignored_share": round(_ignored_share(split), 6),
        "absent_classes": _absent(split, classes),
        "pixels_by_number": {str(number): int(numbers[number]) for number in np.flatnonzero(numbers)},
        "num_sizes": len(sizes),
        "most_common_size": list(sizes.most_common(1)[0][0]) if sizes else None,
    }


def _absent(split: SplitManifest, classes: Sequence[str]) -> list[str]:
    return [name for name, count in zip(classes, split.class_pixels, strict=True) if not count]


def _scarce(split: SplitManifest, classes: Sequence[str]) -> Iterator[Finding]:
    """Finds classes with very few pixels."""
    labelled = sum(split.class_pixels)
    cases = [
        f"{name} ({pixels:,} pixels in {images:,} images)"
        for name, pixels, images in zip(classes, split.class_pixels, split.class_images, strict=True)
        if 0 < pixels < _SCARCE_SHARE * labelled
    ]
    if cases:
        yield counted(f"{{}} classes have less than {_SCARCE_SHARE:.2%} of the labelled pixels", cases)


def _untaught(manifest: Manifest) -> Iterator[Finding]:
    """Finds classes that occur in the reported split and not in training."""
    train, report = manifest.splits[_TRAIN], manifest.splits.get(_REPORT)
    absent = _absent(train, manifest.classes)
    asked = [name for name in absent if report and name not in _absent(report, manifest.classes)]
    if asked:
        yield counted("{} classes are in report and not in train, so that no network can learn them", asked)


def _shared_images(manifest: Manifest) -> Iterator[Finding]:
    """Finds identical images in two splits."""
    by_image = {name: _ids_by_image(split) for name, split in manifest.splits.items()}
    for one, other in combinations(by_image, 2):
        shared = sorted(by_image[one].keys() & by_image[other].keys())
        if shared:
            pairs = [f"{by_image[one][digest][0]} = {by_image[other][digest][0]}" for digest in shared]
            yield counted(f"{one} and {other} share {{}} identical images", sorted(pairs))


def _similar_ids(manifest: Manifest) -> Iterator[Finding]:
    """Finds ids in two splits that differ at most in case, separators and leading zeros."""
    simple = {name: {_simplified(id_): id_ for id_ in split.ids} for name, split in manifest.splits.items()}
    for one, other in combinations(simple, 2):
        shared = sorted(simple[one].keys() & simple[other].keys())
        if shared:
            yield counted(
                f"{one} and {other} share {{}} (nearly) equal ids", [simple[one][key] for key in shared]
            )


def _simplified(id_: str) -> str:
    words = "".join(character if character.isalnum() else " " for character in id_.casefold()).split()
    return " ".join(word.lstrip("0") for word in words)


def _ids_by_image(split: SplitManifest) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id_, digest in zip(split.ids, split.image_sha256, strict=True):
        found.setdefault(digest, []).append(id_)
    return found


def _ignored_share(split: SplitManifest) -> float:
    num_pixels = sum(shard.pixels for shard in split.shards)
    return split.ignored_pixels / num_pixels if num_pixels else 0.0
