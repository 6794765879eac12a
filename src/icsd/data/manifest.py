"""manifest.json, which describes a dataset's prepared data, and its only reader.

Everything that training uses is checked on reading: types, the manifest's own digest, and that the numbers of
samples, shards and pixels are consistent. A damaged file therefore leads to an error message and never to a
wrong slice of a shard.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from icsd.errors import UserError
from icsd.records import Digest, FileName, Record, read_needed, write_record

MANIFEST = "manifest.json"
PREPARE_AGAIN = "run `dvc repro -f -s preprocess`"
"""The fix for damaged files. Without -f, DVC may restore its own copy of the damaged file."""

_Count = Annotated[int, Field(ge=0)]
_Size = Annotated[int, Field(gt=0)]


class Shard(Record):
    """A pair of files; ``pixels`` counts the pixels of all its samples."""

    images: FileName
    labels: FileName
    pixels: _Count
    images_sha256: Digest
    labels_sha256: Digest


class SplitManifest(Record):
    """Content of a split. Lists run over its samples; ``offsets`` are in pixels within the shard."""

    ids: tuple[str, ...]
    heights: tuple[_Size, ...]
    widths: tuple[_Size, ...]
    shard: tuple[_Count, ...]
    offsets: tuple[_Count, ...]
    image_sha256: tuple[Digest, ...]
    shards: tuple[Shard, ...]
    labels_sha256: Digest
    class_pixels: tuple[_Count, ...]
    class_images: tuple[_Count, ...]
    ignored_pixels: _Count
    illegal_pixels: dict[str, _Count]

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        lists = (self.heights, self.widths, self.shard, self.offsets, self.image_sha256)
        if any(len(values) != len(self.ids) for values in lists):
            raise ValueError("its lists of samples differ in length")
        filled: Counter[int] = Counter()
        for height, width, shard, offset in zip(*lists[:4], strict=True):
            if offset != filled[shard]:
                raise ValueError("its samples do not lie one after the other")
            filled[shard] += height * width
        if filled != Counter({number: shard.pixels for number, shard in enumerate(self.shards)}):
            raise ValueError("its samples do not fill its shards")
        counted = sum(self.class_pixels) + self.ignored_pixels + sum(self.illegal_pixels.values())
        if counted != filled.total():
            raise ValueError("its classes have other pixels than its samples")
        return self


class Manifest(Record):
    """Content of manifest.json; ``sha256`` is the digest of everything else."""

    schema_version: Literal[2] = Field(alias="schema")
    dataset: str
    classes: tuple[str, ...]
    splits: dict[str, SplitManifest]
    sha256: str = ""

    @model_validator(mode="after")
    def _has_its_classes(self) -> Self:
        for split in self.splits.values():
            if not len(split.class_pixels) == len(split.class_images) == len(self.classes):
                raise ValueError("its splits count other classes than it has")
        return self

    def digest(self) -> str:
        """SHA-256 of everything except ``sha256``."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_manifest(
    folder: Path, dataset: str, classes: Iterable[str], splits: Mapping[str, SplitManifest]
) -> Manifest:
    """Write manifest.json, which completes the dataset."""
    bare = Manifest(schema=2, dataset=dataset, classes=tuple(classes), splits=dict(splits))
    manifest = bare.model_copy(update={"sha256": bare.digest()})
    write_record(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a preprocessed dataset.

    Raises:
        UserError: It is missing, unreadable, damaged or of another version; the message has the fix.
    """
    path = folder / MANIFEST
    missing = "the dataset is not prepared: run `dvc repro preprocess`"
    manifest = read_needed(path, Manifest, missing=missing, advice=PREPARE_AGAIN)
    if manifest.sha256 != manifest.digest():
        raise UserError(f"{path}: its content is not what was written (SHA-256); {PREPARE_AGAIN}")
    return manifest
