"""Command ``deliver``: send undelivered records to MLflow."""

from pathlib import Path

from icsd import tracking


def deliver(root: Path) -> str | None:
    """Send every record that waits in ``.state``, however long that takes.

    Returns:
        A message about records that still wait; None if there are none.
    """
    tracking.wait_patiently()
    left = tracking.deliver_pending(root)
    return f"the records of {left} runs still wait in .state" if left else None
