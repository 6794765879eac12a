"""Whether a network's weights are those that its training wrote."""

from pathlib import Path

from icsd.errors import UserError
from icsd.files import sha256_of
from icsd.records import TrainRecord, read_record
from icsd.runs import RunKey, advice_for


def check_trained(root: Path, key: RunKey) -> None:
    """Compare a network's weights with the digest in its train.json, if both exist.

    Raises:
        UserError: They differ: the file was damaged or replaced since.
    """
    try:
        recorded = read_record(root / key.folder / "train.json", TrainRecord).weights_sha256
        found = sha256_of(root / key.weights)
    except FileNotFoundError:
        return  # the code that needs the files reports it
    if recorded not in (None, found):
        raise UserError(
            f"{key.weights}: damaged or replaced since training wrote it (train.json has another digest); "
            f"{advice_for(key.weights)}"
        )
