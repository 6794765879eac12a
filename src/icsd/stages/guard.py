"""A stage's output: written by one process at a time, and only where it can be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icsd.errors import UserError
from icsd.files import check_writable, exclusive


@contextmanager
def guarded(root: Path, output: Path) -> Iterator[None]:
    """Hold an output for the block that makes it.

    A killed ``dvc`` leaves its stage working for a moment, and the next ``dvc repro`` starts it once more: it
    waits. Several checkouts and DVC's temporary experiments have outputs of their own.

    Args:
        root: The repository.
        output: The file or folder, from there.

    Raises:
        UserError: It cannot be written, which is found before the block; or it is gone after it.
    """
    check_writable(root / output)
    # Not beside the output: DVC deletes that before it starts a stage.
    lock = root / ".state" / "locks" / f"{'-'.join(output.parts)}.lock"
    with exclusive(lock, waiting=f"another process writes {output.as_posix()}"):
        yield
        if not (root / output).exists():
            raise UserError(
                f"{output.as_posix()}: was removed by another process as soon as it was written; start this "
                "again when nothing else works in this checkout"
            )
