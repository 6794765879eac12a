"""Guards a stage's output: only one process writes it at a time, and it is checked to be writable."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icsd.errors import UserError
from icsd.files import check_writable, exclusive


@contextmanager
def guarded(root: Path, output: Path) -> Iterator[None]:
    """Lock an output while the block writes it.

    A killed ``dvc`` leaves its stage running for a moment; if the next ``dvc repro`` starts the stage again,
    the new process waits. Other checkouts and DVC's temporary experiments have their own outputs.

    Args:
        root: The repository.
        output: The file or folder, relative to ``root``.

    Raises:
        UserError: The output cannot be written (raised before the block runs), or is gone after the block.
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
