"""YAML files of the repository that commands write and stages read."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from icsd.errors import UserError
from icsd.params.block import Block
from icsd.params.messages import explained
from icsd.yaml_files import read_yaml

Kind = TypeVar("Kind", bound=Block)


def read_written(root: Path, place: Path, kind: type[Kind], *, otherwise: str) -> Kind | None:
    """Read a file as a block; None if there is no such file.

    Args:
        root: Root of the repository.
        place: Path of the file, relative to the root.
        kind: Type of the block.
        otherwise: What an invalid file means and what to do, for the message.

    Raises:
        UserError: The file is invalid; names every mistake.
    """
    if not (root / place).exists():
        return None
    try:
        return kind.model_validate(read_yaml(root / place))
    except ValidationError as error:
        lines = explained(error, schema=kind)
    except UserError as error:
        lines = [str(error)]
    raise UserError("\n  ".join([f"{place}: {otherwise}:", *lines]))
