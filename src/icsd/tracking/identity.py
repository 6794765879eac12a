"""What makes an execution of the pipeline one: names repeat, in two commits and between two people."""

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
    """What all stages of one execution share: a name, and a hash of what the name does not tell apart.

    Args:
        root: The repository.
        digest: Of the parameters, as hexadecimal digits.
        label: Instead of the name of DVC's experiment, or ``workspace`` outside one.

    Returns:
        ``wave-`` and ten digits: of the parameters; of the commit that DVC's experiment began at, since DVC
        allows a name once per commit; and of the checkout, where the store may hold other people's runs.
    """
    experiment = "" if label else os.environ.get("DVC_EXP_NAME", "")
    baseline = os.environ.get("DVC_EXP_BASELINE_REV", "") if experiment else ""
    told_apart_by = [part for part in (baseline, checkout_id(root) if is_shared(root) else "") if part]
    if told_apart_by:
        digest = hashlib.sha256("\n".join([digest, *told_apart_by]).encode()).hexdigest()
    return f"{label or experiment or 'workspace'}-{digest[:10]}"


def checkout_id(root: Path) -> str:
    """A random name of this checkout, the same in all its processes and on all machines that see it.

    A copy gets its own: the folder that holds the name then has another number in its file system.
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
