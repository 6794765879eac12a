"""Decoded images and labels in a few large flat files, read through memory maps.

A split is ``<split>-<number>.images`` (uint8 RGB, row by row) and ``<split>-<number>.labels`` (uint8 train
ids). Sizes may vary; where a sample begins is counted in pixels, which serves both files. ``manifest.json``
is written last: a folder without one is unfinished.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np

from icsd.core.labels import IGNORE, Pixels
from icsd.errors import UserError
from icsd.files import sha256_of, write_json

SCHEMA = 1
MANIFEST = "manifest.json"


class Shard(TypedDict):
    """One pair of files."""

    images: str
    labels: str
    pixels: int
    images_sha256: str
    labels_sha256: str


class SplitManifest(TypedDict):
    """What a split holds. Lists run over its samples; ``offsets`` count pixels from the shard's beginning."""

    ids: list[str]
    heights: list[int]
    widths: list[int]
    shard: list[int]
    offsets: list[int]
    image_sha256: list[str]
    shards: list[Shard]
    labels_sha256: str
    class_pixels: list[int]
    class_images: list[int]
    ignored_pixels: int
    illegal_pixels: dict[str, int]


class Manifest(TypedDict):
    """Content of manifest.json."""

    schema: int
    dataset: str
    classes: list[str]
    splits: dict[str, SplitManifest]


class _ShardWriter:
    """Two open files with their digests."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.names = {kind: f"{stem}.{kind}" for kind in ("images", "labels")}
        self._files = {kind: (folder / name).open("wb") for kind, name in self.names.items()}
        self._digests = {kind: hashlib.sha256() for kind in self.names}
        self.pixels = 0

    def write(self, image: bytes, label: bytes) -> None:
        for kind, content in (("images", image), ("labels", label)):
            self._files[kind].write(content)
            self._digests[kind].update(content)
        self.pixels += len(label)

    def close(self) -> Shard:
        for file in self._files.values():
            file.close()
        return Shard(
            images=self.names["images"],
            labels=self.names["labels"],
            pixels=self.pixels,
            images_sha256=self._digests["images"].hexdigest(),
            labels_sha256=self._digests["labels"].hexdigest(),
        )


def write_shards(
    folder: Path,
    split: str,
    records: Iterable[tuple[str, Pixels, Pixels]],
    *,
    num_classes: int,
    shard_bytes: int = 1 << 30,
) -> SplitManifest:
    """Streams (id, image, label) records to shards of about ``shard_bytes`` and returns the split's manifest.

    Only one record is in memory at a time. Counts of label values are taken on the way.
    """
    ids: list[str] = []
    heights: list[int] = []
    widths: list[int] = []
    shard: list[int] = []
    offsets: list[int] = []
    image_digests: list[str] = []
    shards: list[Shard] = []
    counts, images_with = np.zeros(256, dtype=np.int64), np.zeros(256, dtype=np.int64)
    labels_digest = hashlib.sha256()
    writer: _ShardWriter | None = None
    try:
        for id_, image, label in records:
            if writer is not None and 3 * writer.pixels >= shard_bytes:
                shards.append(writer.close())
                writer = None
            if writer is None:
                writer = _ShardWriter(folder, f"{split}-{len(shards):05d}")
            image_bytes, label_bytes = image.tobytes(), label.tobytes()
            ids.append(id_)
            heights.append(label.shape[0])
            widths.append(label.shape[1])
            shard.append(len(shards))
            offsets.append(writer.pixels)
            image_digests.append(hashlib.sha256(image_bytes).hexdigest())
            writer.write(image_bytes, label_bytes)
            labels_digest.update(label_bytes)
            values = np.bincount(label.reshape(-1), minlength=256)
            counts += values
            images_with += values > 0
    finally:
        if writer is not None:
            shards.append(writer.close())
    return SplitManifest(
        ids=ids,
        heights=heights,
        widths=widths,
        shard=shard,
        offsets=offsets,
        image_sha256=image_digests,
        shards=shards,
        labels_sha256=labels_digest.hexdigest(),
        class_pixels=counts[:num_classes].tolist(),
        class_images=images_with[:num_classes].tolist(),
        ignored_pixels=int(counts[IGNORE]),
        illegal_pixels={
            str(value): int(counts[value]) for value in range(num_classes, IGNORE) if counts[value]
        },
    )


def write_manifest(
    folder: Path, dataset: str, classes: Iterable[str], splits: Mapping[str, SplitManifest]
) -> Manifest:
    """Writes manifest.json, which makes the shards a dataset."""
    manifest = Manifest(schema=SCHEMA, dataset=dataset, classes=list(classes), splits=dict(splits))
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a preprocessed dataset; UserError when there is none, or it is of another version."""
    try:
        manifest: Manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder.name}/ holds no preprocessed dataset ({error}): run the stage preprocess"
        ) from error
    if manifest["schema"] != SCHEMA:
        raise UserError(f"{folder.name}/{MANIFEST} is of another version: run the stage preprocess again")
    return manifest


class ShardedSplit:
    """One split of a preprocessed dataset; ``split[i]`` gives (image [H, W, 3], label [H, W]), both uint8.

    Files are mapped on first use, in whichever process that is: an instance can be sent to loader workers.

    Args:
        folder: what ``preprocess`` wrote.
        split: a key of the manifest's splits ("train", "validation", "report").
        manifest: of the folder, where it has been read already.

    Raises:
        UserError: no such split, or a shard whose size is not what the manifest says.
    """

    def __init__(self, folder: Path, split: str, *, manifest: Manifest | None = None) -> None:
        manifest = manifest or read_manifest(folder)
        if split not in manifest["splits"]:
            raise UserError(f"{folder.name}/ has no split {split!r}; it has {', '.join(manifest['splits'])}")
        self.folder = folder
        self.name = split
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self._manifest = manifest["splits"][split]
        for name, num_bytes in self._expected_sizes():
            path = folder / name
            found = path.stat().st_size if path.exists() else 0
            if found != num_bytes:
                raise UserError(
                    f"{folder.name}/{name} has {found:,} bytes where the manifest says {num_bytes:,}: "
                    "run the stage preprocess again"
                )

    @property
    def ids(self) -> list[str]:
        """Ids in the order of the samples."""
        return self._manifest["ids"]

    @property
    def manifest(self) -> SplitManifest:
        """Counts and digests of the split."""
        return self._manifest

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        manifest = self._manifest
        height, width = manifest["heights"][index], manifest["widths"][index]
        images, labels = self._maps[manifest["shard"][index]]
        begin = manifest["offsets"][index]
        end = begin + height * width
        image = np.array(images[3 * begin : 3 * end]).reshape(height, width, 3)
        return image, np.array(labels[begin:end]).reshape(height, width)

    def verify(self) -> None:
        """Reads everything once and raises UserError naming the first shard whose content has changed."""
        for shard in self._manifest["shards"]:
            digests = ((shard["images"], shard["images_sha256"]), (shard["labels"], shard["labels_sha256"]))
            for name, expected in digests:
                if sha256_of(self.folder / name) != expected:
                    raise UserError(
                        f"{self.folder.name}/{name} is not what preprocess wrote (SHA-256): run it again"
                    )

    @cached_property
    def _maps(self) -> list[tuple[Pixels, Pixels]]:
        return [
            (self._map(shard["images"]), self._map(shard["labels"])) for shard in self._manifest["shards"]
        ]

    def _map(self, name: str) -> Pixels:
        return np.memmap(self.folder / name, dtype=np.uint8, mode="r")

    def _expected_sizes(self) -> Iterable[tuple[str, int]]:
        for shard in self._manifest["shards"]:
            yield shard["images"], 3 * shard["pixels"]
            yield shard["labels"], shard["pixels"]

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_maps"}
