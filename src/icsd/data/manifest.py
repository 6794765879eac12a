"""manifest.json: what the prepared data of a dataset hold, and its only reader.

Everything that training takes from the manifest is checked when it is read: its types, its own digest, and
that the numbers of samples, shards and pixels belong together. So a damaged file is one message and no
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
"""What helps against damage: without -f, DVC may bring its own copy of the damaged file back."""

_Count = Annotated[int, Field(ge=0)]
_Size = Annotated[int, Field(gt=0)]


class Shard(Record):
    """One pair of files; ``pixels`` are those of all its samples."""

    images: FileName
    labels: FileName
    pixels: _Count
    images_sha256: Digest
    labels_sha256: Digest


class SplitManifest(Record):
    """What a split holds. Lists run over its samples; ``offsets`` count pixels from the shard's beginning."""

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
    """Content of manifest.json; ``sha256`` is the digest of all the rest."""

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
        """SHA-256 of everything but ``sha256``."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_manifest(
    folder: Path, dataset: str, classes: Iterable[str], splits: Mapping[str, SplitManifest]
) -> Manifest:
    """Writes manifest.json, which makes the shards a dataset."""
    bare = Manifest(schema=2, dataset=dataset, classes=tuple(classes), splits=dict(splits))
    manifest = bare.model_copy(update={"sha256": bare.digest()})
    write_record(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a preprocessed dataset.

    Raises:
        UserError: there is none, it cannot be read, is of another version or damaged; says what helps.
    """
    path = folder / MANIFEST
    missing = "the dataset is not prepared: run `dvc repro preprocess`"
    manifest = read_needed(path, Manifest, missing=missing, advice=PREPARE_AGAIN)
    if manifest.sha256 != manifest.digest():
        raise UserError(f"{path}: its content is not what was written (SHA-256); {PREPARE_AGAIN}")
    return manifest
