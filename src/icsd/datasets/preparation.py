"""Published files -> shards of decoded images and train ids, with the doctor's findings; all or nothing."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from icsd.core.seeds import seed_at
from icsd.data.manifest import SplitManifest, write_manifest
from icsd.data.prepared import PreparedData
from icsd.data.shards import write_shards
from icsd.datasets import Dataset, Shapes, dataset_of
from icsd.datasets.archives import unpack
from icsd.datasets.base import Sample
from icsd.datasets.doctor import Decoded, Expectation, examine
from icsd.datasets.fetch.packing import walk
from icsd.datasets.findings import Findings
from icsd.datasets.samples import records_of
from icsd.datasets.shapes import generate
from icsd.datasets.source import archives_of
from icsd.errors import UserError
from icsd.files import folder_written_whole
from icsd.records import write_record

DOCTOR = "doctor.json"
_SHARD_BYTES = 1 << 30


@dataclass(frozen=True)
class _Part:
    """The samples of one role, and what is known about them."""

    samples: list[Sample]
    known: Expectation


def preprocess(
    dataset: str | Dataset | Shapes,
    raw: Path,
    out: Path,
    *,
    splits: Mapping[str, str],
    holdout: int = 0,
    seed: int = 0,
    generated_sizes: Mapping[str, int] | None = None,
    image_size: int = 96,
    complete: bool = True,
    threads: int = 2,
    shard_bytes: int = _SHARD_BYTES,
) -> Findings:
    """Writes shards, manifest.json and doctor.json to ``out``, which appears in one step.

    If the doctor finds errors, ``out`` is not written, and doctor.json is put next to it.

    Args:
        dataset: key of ``DATASETS``, or a dataset.
        raw: folder that ``download`` wrote.
        out: folder to write; replaced if it exists.
        splits: role ("train", "validation", "report") -> name of the published split.
        holdout: number of training images that become the role "validation"; drawn with ``seed``.
        seed: seed of the holdout and of generated scenes.
        generated_sizes: role -> number of scenes, for the dataset ``shapes``.
        image_size: height and width of generated scenes.
        complete: whether the published number of images is required; False for a deliberate subset.
        threads: number of threads for decoding; has no influence on the result.
        shard_bytes: size at which a new shard is started.

    Raises:
        UserError: the archives or the dataset cannot be used; lists all errors that the doctor found.
    """
    if holdout and "validation" in splits:
        raise UserError(
            "data.holdout is for datasets without a validation split; this one has one: set it to 0"
        )
    dataset = dataset_of(dataset)
    refused = out.with_name(DOCTOR)
    with folder_written_whole(out) as folder:
        if isinstance(dataset, Shapes):
            findings = _generate_all(folder, splits, generated_sizes or {}, seed, image_size, shard_bytes)
        else:
            unpacked = folder / "unpacked"
            _unpack_all(dataset, raw, unpacked)
            parts, problems = _parts(dataset, unpacked, splits, holdout=holdout, seed=seed, complete=complete)
            findings = _convert_all(folder, dataset, parts, problems, threads, shard_bytes)
            shutil.rmtree(unpacked)
        if findings.errors:
            write_record(refused, findings)
            findings.raise_on_errors(refused)
        write_record(folder / DOCTOR, findings)
        check_complete(folder)
    refused.unlink(missing_ok=True)
    return findings


def examine_folder(
    dataset: Dataset, source: Path, scratch: Path, *, splits: Mapping[str, str], threads: int = 2
) -> Findings:
    """Examines a folder in place, with the steps of ``preprocess``.

    Args:
        dataset: the dataset in the folder.
        source: the folder; only read.
        scratch: a folder that does not exist yet, for shards that are not needed afterwards.
        splits: role -> name of the split.
        threads: number of threads for decoding.
    """
    linked = scratch / "unpacked"
    for name, path in walk(source, dataset.wanted):
        link = linked / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    parts, problems = _parts(dataset, linked, splits, holdout=0, seed=0, complete=True)
    return _convert_all(scratch, dataset, parts, problems, threads, _SHARD_BYTES)


def check_complete(folder: Path) -> None:
    """Raises UserError unless a folder holds prepared data, every shard as large as its manifest says."""
    data = PreparedData(folder)
    for split in data.splits:
        data.sized_split(split)


def _generate_all(
    folder: Path,
    splits: Mapping[str, str],
    sizes: Mapping[str, int],
    seed: int,
    image_size: int,
    shard_bytes: int,
) -> Findings:
    written: dict[str, SplitManifest] = {}
    for role, split in splits.items():
        records = (
            (f"{split}-{index:05d}", *generate(split, index, seed=seed, size=image_size))
            for index in range(sizes[role])
        )
        written[role] = write_shards(
            folder, role, records, num_classes=len(Shapes.classes), shard_bytes=shard_bytes
        )
    manifest = write_manifest(folder, Shapes.name, Shapes.classes, written)
    return examine(manifest, expected={role: Expectation(sizes[role]) for role in splits})


def _unpack_all(dataset: Dataset, raw: Path, folder: Path) -> None:
    """Unpacks every archive into its own folder, since archives of one dataset may contain equal paths."""
    folder.mkdir()
    for number, archive in enumerate(archives_of(raw)):
        unpack(archive, folder / str(number), wanted=dataset.wanted)


def _parts(
    dataset: Dataset, root: Path, splits: Mapping[str, str], *, holdout: int, seed: int, complete: bool
) -> tuple[dict[str, _Part], list[str]]:
    """The samples of every role, and the problems of roles that have none."""
    parts: dict[str, _Part] = {}
    problems: list[str] = []
    for role, split in splits.items():
        known = Expectation(labels_sha256=dataset.labels_sha256.get(split))
        if complete and split in dataset.split_sizes:
            known = replace(known, num_images=dataset.split_sizes[split], numbering=dataset.numbering)
        try:
            parts[role] = _Part(dataset.samples(root, split), known)
        except UserError as error:
            problems.append(f"{role}: {error}")
    if holdout and "train" in parts:
        parts["train"], parts["validation"] = _hold_out(parts["train"], holdout, seed)
    return parts, problems


def _hold_out(train: _Part, holdout: int, seed: int) -> tuple[_Part, _Part]:
    """Moves the ``holdout`` samples with the lowest random numbers, which depend on seed and id only."""
    if holdout >= len(train.samples):
        raise UserError(f"data.holdout is {holdout}, but there are only {len(train.samples)} training images")
    by_luck = sorted(train.samples, key=lambda sample: seed_at(seed, "holdout", sample.id))
    moved = {sample.id for sample in by_luck[:holdout]}
    size = train.known.num_images
    rest = replace(train.known, num_images=size and size - holdout, labels_sha256=None)
    return (
        _Part([sample for sample in train.samples if sample.id not in moved], rest),
        _Part(
            [sample for sample in train.samples if sample.id in moved],
            Expectation(size and holdout),  # too few to check the meaning of numbers
        ),
    )


def _convert_all(
    folder: Path,
    dataset: Dataset,
    parts: Mapping[str, _Part],
    problems: list[str],
    threads: int,
    shard_bytes: int,
) -> Findings:
    written: dict[str, SplitManifest] = {}
    decoded: dict[str, Decoded] = {}
    for role, part in parts.items():
        decoded[role] = Decoded()
        written[role] = write_shards(
            folder,
            role,
            records_of(dataset, part.samples, decoded=decoded[role], threads=threads),
            num_classes=len(dataset.classes),
            shard_bytes=shard_bytes,
        )
    manifest = write_manifest(folder, dataset.name, dataset.classes, written)
    expected = {role: part.known for role, part in parts.items()}
    return examine(manifest, expected=expected, decoded=decoded, problems=problems)
