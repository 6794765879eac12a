"""The dataset that the parameters name, or describe."""

from icsd.datasets import DATASETS, Dataset, Shapes
from icsd.datasets.folder import NAME, Folder
from icsd.errors import UserError, did_you_mean
from icsd.params import Data


def dataset_in(data: Data) -> Dataset | Shapes:
    """The dataset of ``data.reader``; for the reader ``folder``, as ``data.folder`` describes it.

    Raises:
        UserError: There is no such reader, its block is missing, or the block of another reader is given.
    """
    if data.reader not in {*DATASETS, NAME}:
        hint = did_you_mean(data.reader, sorted([*DATASETS, NAME]))
        raise UserError(f"data.reader: there is no dataset {data.reader!r}{hint}")
    for reader, block, given in (("shapes", "generated", data.generated), (NAME, "folder", data.folder)):
        if (data.reader == reader) != (given is not None):
            raise UserError(f"data.{block}: the reader `{reader}` needs it, and no other reader takes it")
    return DATASETS[data.reader] if data.folder is None else _described(data)


def _described(data: Data) -> Folder:
    folder, splits = data.folder, data.splits
    assert folder is not None
    used = tuple(split for split in (splits.train, splits.validation, splits.report) if split is not None)
    if folder.fractions is not None and (missing := set(used) - set(folder.fractions)):
        raise UserError(f"data.folder.fractions: lacks {', '.join(sorted(missing))}, which data.splits names")
    return Folder(
        images=folder.images,
        masks=folder.masks,
        lists=folder.lists,
        fractions=folder.fractions,
        seed=folder.seed,
        meaning={name: folder.values_of(name) for name in folder.classes},
        ignored=folder.ignored,
        unlabelled=folder.unlabelled,
        splits=used,
    )
