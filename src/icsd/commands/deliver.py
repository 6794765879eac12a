"""Command ``deliver``: send to MLflow what has not arrived."""

from pathlib import Path

from icsd import tracking


def deliver(root: Path) -> str | None:
    """Send every record that waits in ``.state``, however long that takes.

    Returns:
        What still waits; None when nothing does.
    """
    tracking.wait_patiently()
    left = tracking.deliver_pending(root)
    return f"the records of {left} runs still wait in .state" if left else None
