"""Published files -> shards of decoded images and train ids, with the doctor's findings; all or nothing."""

import json
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from icsd.core.labels import Pixels
from icsd.core.seeds import seed_at
from icsd.data.shards import SplitManifest, write_manifest, write_shards
from icsd.datasets import DATASETS, Dataset, Shapes
from icsd.datasets.archives import unpack
from icsd.datasets.base import Sample
from icsd.datasets.doctor import Expectation, Findings, examine
from icsd.datasets.shapes import generate
from icsd.errors import UserError
from icsd.files import folder_written_whole, write_json

DOCTOR = "doctor.json"

_Record = tuple[str, Pixels, Pixels]


@dataclass(frozen=True)
class _Part:
    """The samples that one role gets, and what is known about them."""

    samples: list[Sample]
    known: Expectation


@dataclass
class _Reader:
    """Decodes samples with a few threads, in order, and collects what is wrong with single ones."""

    dataset: Dataset
    threads: int
    problems: list[str] = field(default_factory=list)

    def records(self, samples: list[Sample]) -> Iterator[_Record]:
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[tuple[Sample, Future[tuple[Pixels, Pixels]]]] = deque()
            for sample in samples:
                waiting.append((sample, pool.submit(self.dataset.read, sample)))
                if len(waiting) > 2 * self.threads:
                    yield from self._finish(*waiting.popleft())
            while waiting:
                yield from self._finish(*waiting.popleft())

    def _finish(self, sample: Sample, future: Future[tuple[Pixels, Pixels]]) -> Iterator[_Record]:
        try:
            image, label = future.result()
        except UserError as error:
            self.problems.append(str(error))
            return
        if image.shape[:2] != label.shape:
            self.problems.append(
                f"{sample.id}: image {image.shape[:2]} and label {label.shape} differ in size"
            )
            return
        yield sample.id, image, label


def preprocess(
    dataset_name: str,
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
    shard_bytes: int = 1 << 30,
) -> Findings:
    """Writes shards, manifest.json and doctor.json to ``out``, which appears in one step.

    Args:
        dataset_name: key of ``DATASETS``.
        raw: folder that ``download`` wrote.
        out: folder to write; what was there goes.
        splits: role ("train", "validation", "report") -> name of the published split.
        holdout: number of training images that become the role "validation"; which ones depends on ``seed``.
        seed: of the holdout, and of generated scenes.
        generated_sizes: role -> number of scenes, for the dataset ``shapes``.
        image_size: height and width of generated scenes.
        complete: whether the published number of images is asked for; False for a deliberate subset.
        threads: for decoding; has no influence on the result.
        shard_bytes: size from which on a new shard is begun.

    Raises:
        UserError: the archives or the dataset cannot be used; lists everything that the doctor found.
    """
    if holdout and "validation" in splits:
        raise UserError(
            "data.holdout is for datasets without a validation split; this one has one: set it to 0"
        )
    dataset = DATASETS[dataset_name]
    with folder_written_whole(out) as folder:
        if isinstance(dataset, Shapes):
            findings = _generate_all(folder, splits, generated_sizes or {}, seed, image_size, shard_bytes)
        else:
            unpacked = folder / "unpacked"
            _unpack_all(dataset, raw, unpacked)
            parts = _parts(dataset, unpacked, splits, holdout=holdout, seed=seed, complete=complete)
            findings = _convert_all(folder, dataset, parts, threads, shard_bytes)
            shutil.rmtree(unpacked)
        findings.raise_on_errors()
        write_json(folder / DOCTOR, findings.as_json())
    return findings


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
    """Every archive into a folder of its own: archives of one dataset may contain equal paths."""
    try:
        described = json.loads((raw / "source.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{raw.name}/ holds no complete download ({error}): run the stage download"
        ) from error
    folder.mkdir()
    for number, file in enumerate(described["files"]):
        archive = raw / file["name"]
        if not archive.is_file() or archive.stat().st_size != file["bytes"]:
            raise UserError(f"{raw.name}/{file['name']} is missing or cut off: run the stage download again")
        unpack(archive, folder / str(number), wanted=dataset.wanted)


def _parts(
    dataset: Dataset, root: Path, splits: Mapping[str, str], *, holdout: int, seed: int, complete: bool
) -> dict[str, _Part]:
    parts: dict[str, _Part] = {}
    for role, split in splits.items():
        size = dataset.split_sizes[split] if complete and split in dataset.split_sizes else None
        known = Expectation(num_images=size, labels_sha256=dataset.labels_sha256.get(split))
        parts[role] = _Part(dataset.samples(root, split), known)
    if holdout:
        parts["train"], parts["validation"] = _hold_out(parts["train"], holdout, seed)
    return parts


def _hold_out(train: _Part, holdout: int, seed: int) -> tuple[_Part, _Part]:
    """Moves ``holdout`` samples; a sample's luck depends on the seed and its id, not on the others."""
    if holdout >= len(train.samples):
        raise UserError(f"data.holdout is {holdout}, but there are only {len(train.samples)} training images")
    by_luck = sorted(train.samples, key=lambda sample: seed_at(seed, "holdout", sample.id))
    moved = {sample.id for sample in by_luck[:holdout]}
    size = train.known.num_images
    return (
        _Part(
            [sample for sample in train.samples if sample.id not in moved],
            Expectation(size and size - holdout),
        ),
        _Part([sample for sample in train.samples if sample.id in moved], Expectation(size and holdout)),
    )


def _convert_all(
    folder: Path, dataset: Dataset, parts: Mapping[str, _Part], threads: int, shard_bytes: int
) -> Findings:
    written: dict[str, SplitManifest] = {}
    problems: dict[str, list[str]] = {}
    for role, part in parts.items():
        reader = _Reader(dataset, threads)
        written[role] = write_shards(
            folder,
            role,
            reader.records(part.samples),
            num_classes=len(dataset.classes),
            shard_bytes=shard_bytes,
        )
        problems[role] = reader.problems
    manifest = write_manifest(folder, dataset.name, dataset.classes, written)
    expected = {role: part.known for role, part in parts.items()}
    return examine(manifest, expected=expected, problems=problems)
