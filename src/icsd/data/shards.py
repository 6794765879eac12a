"""Decoded images and labels in a few large flat files, read through memory maps.

A split consists of ``<split>-<number>.images`` (uint8 RGB, row by row) and ``<split>-<number>.labels`` (uint8
train ids). Sizes may vary; a sample's offset is counted in pixels, which is valid for both files.
``manifest.json`` is written last: a folder without one is incomplete.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from icsd.core.labels import IGNORE, Pixels
from icsd.data.manifest import PREPARE_AGAIN, Manifest, Shard, SplitManifest, read_manifest
from icsd.errors import UserError
from icsd.files import sha256_of


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
    """Stream (id, image, label) records to shards of about ``shard_bytes`` and return the split's manifest.

    Only one record is in memory at a time. Label values are counted along the way.
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
        ids=tuple(ids),
        heights=tuple(heights),
        widths=tuple(widths),
        shard=tuple(shard),
        offsets=tuple(offsets),
        image_sha256=tuple(image_digests),
        shards=tuple(shards),
        labels_sha256=labels_digest.hexdigest(),
        class_pixels=tuple(counts[:num_classes].tolist()),
        class_images=tuple(images_with[:num_classes].tolist()),
        ignored_pixels=int(counts[IGNORE]),
        illegal_pixels={
            str(value): int(counts[value]) for value in range(num_classes, IGNORE) if counts[value]
        },
    )


class ShardedSplit:
    """One split of a preprocessed dataset; ``split[i]`` gives (image [H, W, 3], label [H, W]), both uint8.

    Files are mapped on first use in each process, so an instance can be sent to loader workers.

    Args:
        folder: Output of ``preprocess``.
        split: A key of the manifest's splits ("train", "validation", "report").
        manifest: The folder's manifest, if it has already been read.

    Raises:
        UserError: No such split, or a shard whose size differs from the manifest.
    """

    def __init__(self, folder: Path, split: str, *, manifest: Manifest | None = None) -> None:
        manifest = manifest or read_manifest(folder)
        if split not in manifest.splits:
            raise UserError(f"{folder}/ has no split {split!r}; it has {', '.join(manifest.splits)}")
        self.folder = folder
        self.name = split
        self.classes: tuple[str, ...] = manifest.classes
        self._manifest = manifest.splits[split]
        for name, num_bytes in self._expected_sizes():
            path = folder / name
            found = path.stat().st_size if path.is_file() else 0
            if found != num_bytes:
                raise UserError(
                    f"{path} has {found:,} bytes where the manifest says {num_bytes:,}: {PREPARE_AGAIN}"
                )

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in the order of the samples."""
        return self._manifest.ids

    @property
    def manifest(self) -> SplitManifest:
        """Counts and digests of the split."""
        return self._manifest

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        manifest = self._manifest
        height, width = manifest.heights[index], manifest.widths[index]
        images, labels = self._maps[manifest.shard[index]]
        begin = manifest.offsets[index]
        end = begin + height * width
        image = np.array(images[3 * begin : 3 * end]).reshape(height, width, 3)
        return image, np.array(labels[begin:end]).reshape(height, width)

    def verify(self) -> None:
        """Read everything once; raise a UserError that names the first shard whose content has changed."""
        for shard in self._manifest.shards:
            for name, expected in (
                (shard.images, shard.images_sha256),
                (shard.labels, shard.labels_sha256),
            ):
                if sha256_of(self.folder / name) != expected:
                    raise UserError(
                        f"{self.folder / name} is not what preprocess wrote (SHA-256): {PREPARE_AGAIN}"
                    )

    @cached_property
    def _maps(self) -> list[tuple[Pixels, Pixels]]:
        return [(self._map(shard.images), self._map(shard.labels)) for shard in self._manifest.shards]

    def _map(self, name: str) -> Pixels:
        return np.memmap(self.folder / name, dtype=np.uint8, mode="r")

    def _expected_sizes(self) -> Iterable[tuple[str, int]]:
        for shard in self._manifest.shards:
            yield shard.images, 3 * shard.pixels
            yield shard.labels, shard.pixels

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_maps"}
