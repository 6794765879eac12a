"""The prepared data of a dataset, opened once: its splits, their sizes, and one digest for all of it."""

from functools import cached_property
from pathlib import Path

from icsd.data.manifest import MANIFEST, read_manifest
from icsd.data.shards import ShardedSplit
from icsd.files import sha256_of

TRAIN, VALIDATION, REPORT = "train", "validation", "report"
"""Roles of the splits: for training, for selection and tuning, and for the report."""


class PreparedData:
    """Output of the stage ``preprocess``.

    Args:
        folder: Folder with the shards and their manifest.

    Raises:
        UserError: The folder holds no prepared data, or data of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest = read_manifest(folder)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, which has every shard's digest and so identifies all of the data."""
        return sha256_of(self.folder / MANIFEST)

    @property
    def splits(self) -> tuple[str, ...]:
        """The roles for which there are images."""
        return tuple(self._manifest.splits)

    @property
    def files(self) -> tuple[Path, ...]:
        """The shards of all splits, inside the folder."""
        shards = [shard for split in self._manifest.splits.values() for shard in split.shards]
        return tuple(self.folder / name for shard in shards for name in (shard.images, shard.labels))

    @property
    def has_validation(self) -> bool:
        """Whether there are validation images, used for neither training nor the report."""
        return VALIDATION in self._manifest.splits

    def num_images(self, split: str) -> int:
        """Number of images of a split; 0 if it does not exist."""
        return len(self._manifest.splits[split].ids) if split in self._manifest.splits else 0

    def split(self, name: str) -> ShardedSplit:
        """A split's images and labels, after verifying the digest of every shard.

        Raises:
            UserError: There is no such split, or a shard differs from the manifest.
        """
        split = self.sized_split(name)
        split.verify()
        return split

    def sized_split(self, name: str) -> ShardedSplit:
        """Like ``split``, but only the shards' sizes are compared with the manifest."""
        return ShardedSplit(self.folder, name, manifest=self._manifest)
