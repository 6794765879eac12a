"""The prepared data of a dataset, opened once: its splits, their sizes, and the digest of all of it."""

from functools import cached_property
from pathlib import Path

from icsd.data.manifest import MANIFEST, read_manifest
from icsd.data.shards import ShardedSplit
from icsd.files import sha256_of

TRAIN, VALIDATION, REPORT = "train", "validation", "report"
"""The roles of the splits: what trains, what selects and tunes, and what is reported."""


class PreparedData:
    """What the stage ``preprocess`` wrote.

    Args:
        folder: With the shards and their manifest.

    Raises:
        UserError: The folder holds no prepared data, or data of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifest = read_manifest(folder)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, which holds the digest of every shard: it stands for all of the data."""
        return sha256_of(self.folder / MANIFEST)

    @property
    def splits(self) -> tuple[str, ...]:
        """The roles that there are images for."""
        return tuple(self._manifest.splits)

    @property
    def files(self) -> tuple[Path, ...]:
        """The shards of all splits, inside the folder."""
        shards = [shard for split in self._manifest.splits.values() for shard in split.shards]
        return tuple(self.folder / name for shard in shards for name in (shard.images, shard.labels))

    @property
    def has_validation(self) -> bool:
        """Whether there are images that neither train nor are reported."""
        return VALIDATION in self._manifest.splits

    def num_images(self, split: str) -> int:
        """The images of a split; 0 for one that does not exist."""
        return len(self._manifest.splits[split].ids) if split in self._manifest.splits else 0

    def split(self, name: str) -> ShardedSplit:
        """A split's images and labels, after all of them have been read once and compared with their digests.

        Raises:
            UserError: There is no such split, or a shard is not as the manifest says.
        """
        split = self.sized_split(name)
        split.verify()
        return split

    def sized_split(self, name: str) -> ShardedSplit:
        """As ``split``, but only the shards' sizes are compared with the manifest."""
        return ShardedSplit(self.folder, name, manifest=self._manifest)
