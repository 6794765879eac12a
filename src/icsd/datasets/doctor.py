"""The doctor: is this the dataset that everyone else reports numbers on? Its findings go into doctor.json.

Errors stop the pipeline. Warnings are things that change how numbers must be read, or that only the reader
can judge. Facts are what a protocol card needs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations

from icsd.data.shards import Manifest, SplitManifest
from icsd.errors import UserError

_NUM_NAMED = 5  # examples in a message; the number of all cases is always said
_LARGE_IGNORED_SHARE = 0.5


@dataclass(frozen=True)
class Expectation:
    """What is known about a published split; None where nothing is."""

    num_images: int | None = None
    labels_sha256: str | None = None


@dataclass
class Findings:
    """Result of an examination."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, dict[str, object]] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Content of doctor.json."""
        return {"schema": 1, **asdict(self)}

    def raise_on_errors(self) -> None:
        """Raises one UserError that lists all errors."""
        if self.errors:
            lines = "\n".join(f"  - {error}" for error in self.errors)
            raise UserError(f"The dataset cannot be used:\n{lines}")


def examine(
    manifest: Manifest,
    *,
    expected: Mapping[str, Expectation],
    problems: Mapping[str, Sequence[str]] | None = None,
) -> Findings:
    """Findings about a preprocessed dataset.

    Args:
        manifest: of its shards.
        expected: per split, what is known about it; splits without an entry are not compared.
        problems: per split, what went wrong with single samples while they were read.
    """
    findings = Findings()
    for name, split in manifest["splits"].items():
        known = expected.get(name, Expectation())
        failed = list((problems or {}).get(name, ()))
        findings.errors += _errors(name, split, known, failed)
        findings.warnings += _warnings(name, split, known, manifest["classes"])
        findings.facts[name] = _facts(split, known, manifest["classes"])
    as_published = all(
        known.num_images == len(manifest["splits"][name]["ids"]) for name, known in expected.items()
    ) and bool(expected)
    # Doubles within published data cannot be mended by who uses it; in any other data they are a leak.
    (findings.warnings if as_published else findings.errors).extend(_shared_images(manifest))
    findings.warnings += _similar_ids(manifest)
    return findings


def _errors(name: str, split: SplitManifest, known: Expectation, failed: list[str]) -> Iterator[str]:
    num_images = len(split["ids"])
    if failed:
        yield f"{name}: {len(failed)} samples cannot be used: {_some(failed)}"
    if not num_images:
        yield f"{name}: no images"
    if known.num_images is not None and num_images + len(failed) != known.num_images:
        yield (
            f"{name}: {num_images + len(failed)} images, but {known.num_images} are published: "
            "get the complete dataset, or a different version of it was given"
        )
    if split["illegal_pixels"]:
        values = ", ".join(f"{value} ({count} pixels)" for value, count in split["illegal_pixels"].items())
        yield (
            f"{name}: label values that are no class: {values}. Labels of another variant "
            f"(other number of classes, raw ids), or resized with interpolation"
        )
    repeated = [id_ for id_, count in Counter(split["ids"]).items() if count > 1]
    if repeated:
        yield f"{name}: {len(repeated)} ids occur more than once: {_some(repeated)}"


def _warnings(name: str, split: SplitManifest, known: Expectation, classes: list[str]) -> Iterator[str]:
    absent = [class_ for class_, count in zip(classes, split["class_pixels"], strict=True) if not count]
    if absent:
        yield f"{name}: no pixel of {', '.join(absent)}; means over classes leave them out"
    if (share := _ignored_share(split)) > _LARGE_IGNORED_SHARE:
        yield f"{name}: {share:.0%} of all pixels are ignored"
    if known.labels_sha256 not in {None, split["labels_sha256"]}:
        yield f"{name}: the labels are not the published ones; numbers are not comparable with others'"
    doubles = [ids for ids in _ids_by_image(split).values() if len(ids) > 1]
    if doubles:
        named = _some([" = ".join(ids) for ids in doubles])
        yield f"{name}: {len(doubles)} images occur more than once: {named}"


def _facts(split: SplitManifest, known: Expectation, classes: list[str]) -> dict[str, object]:
    sizes = Counter(zip(split["heights"], split["widths"], strict=True))
    return {
        "num_images": len(split["ids"]),
        "num_images_published": known.num_images,
        "labels_sha256": split["labels_sha256"],
        "labels_as_published": None
        if known.labels_sha256 is None
        else known.labels_sha256 == split["labels_sha256"],
        "ignored_share": round(_ignored_share(split), 6),
        "absent_classes": [
            name for name, count in zip(classes, split["class_pixels"], strict=True) if not count
        ],
        "num_sizes": len(sizes),
        "most_common_size": list(sizes.most_common(1)[0][0]) if sizes else None,
    }


def _shared_images(manifest: Manifest) -> Iterator[str]:
    """Images whose pixels occur in two splits."""
    by_image = {name: _ids_by_image(split) for name, split in manifest["splits"].items()}
    for one, other in combinations(by_image, 2):
        shared = sorted(by_image[one].keys() & by_image[other].keys())
        if shared:
            pairs = [f"{by_image[one][digest][0]} = {by_image[other][digest][0]}" for digest in shared]
            yield f"{one} and {other} share {len(shared)} identical images: {_some(sorted(pairs))}"


def _similar_ids(manifest: Manifest) -> Iterator[str]:
    """Ids in two splits that differ at most in case, separators and leading zeros."""
    simple = {
        name: {_simplified(id_): id_ for id_ in split["ids"]} for name, split in manifest["splits"].items()
    }
    for one, other in combinations(simple, 2):
        shared = sorted(simple[one].keys() & simple[other].keys())
        if shared:
            named = _some([simple[one][key] for key in shared])
            yield f"{one} and {other} share {len(shared)} (nearly) equal ids: {named}"


def _simplified(id_: str) -> str:
    words = "".join(character if character.isalnum() else " " for character in id_.casefold()).split()
    return " ".join(word.lstrip("0") for word in words)


def _ids_by_image(split: SplitManifest) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id_, digest in zip(split["ids"], split["image_sha256"], strict=True):
        found.setdefault(digest, []).append(id_)
    return found


def _ignored_share(split: SplitManifest) -> float:
    num_pixels = sum(shard["pixels"] for shard in split["shards"])
    return split["ignored_pixels"] / num_pixels if num_pixels else 0.0


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more
