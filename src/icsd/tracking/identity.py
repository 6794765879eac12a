"""Identifies an execution of the pipeline; a name alone repeats across commits and between people."""

import hashlib
import json
import os
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from icsd.files import write_json
from icsd.runs import main_root
from icsd.tracking.store import is_shared


def group_id(root: Path, digest: str, *, label: str = "") -> str:
    """The id that all stages of one execution share: a name, and a hash that tells equal names apart.

    Args:
        root: The repository.
        digest: Digest of the parameters, as hexadecimal digits.
        label: Replaces the name, which is that of DVC's experiment, or ``workspace`` outside one.

    Returns:
        The name and ten hexadecimal digits, such as ``wave-0123456789``. The digits are a hash of the
        parameters; of the commit that DVC's experiment started from, since DVC allows a name once per commit;
        and of the checkout, if the store may hold other people's runs.
    """
    experiment = "" if label else os.environ.get("DVC_EXP_NAME", "")
    baseline = os.environ.get("DVC_EXP_BASELINE_REV", "") if experiment else ""
    told_apart_by = [part for part in (baseline, checkout_id(root) if is_shared(root) else "") if part]
    if told_apart_by:
        digest = hashlib.sha256("\n".join([digest, *told_apart_by]).encode()).hexdigest()
    return f"{label or experiment or 'workspace'}-{digest[:10]}"


def checkout_id(root: Path) -> str:
    """A random id of this checkout, the same in all its processes and on all machines that see it.

    A copy gets its own id, because the folder that holds the id then has another inode number.
    """
    folder = main_root(root) / ".state"
    folder.mkdir(parents=True, exist_ok=True)
    path, place = folder / "checkout.json", folder.stat().st_ino
    with FileLock(folder / "checkout.lock"):
        try:
            known = json.loads(path.read_bytes())
            if known["folder"] == place:
                return str(known["id"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none yet, or damaged
        made = uuid4().hex
        write_json(path, {"id": made, "folder": place})
    return made
