"""What the stage ``deploy`` adds to the MLflow run of a champion: its files and their measurements."""

from collections.abc import Iterator
from pathlib import Path

from icsd.arrays import read_arrays
from icsd.core.metrics import mean_iou
from icsd.deployed import DeployedStudent, Form, deployed_folder
from icsd.params import Params
from icsd.records import TrainRecord, read_record
from icsd.runs import RunKey
from icsd.stages.recording.evaluation import open_amending


def record_deployed(root: Path, params: Params, deployed: DeployedStudent) -> None:
    """Add mIoU, durations and sizes and, with ``tracking.models``, the files themselves."""
    key = RunKey(params.dataset, deployed.method, deployed.student, deployed.seed)
    tracker = open_amending(root, params, key, state="deployments")
    if tracker is None:
        return
    place = root / deployed_folder(params.dataset) / deployed.student
    with tracker:
        step = read_record(root / key.folder / "train.json", TrainRecord).selected_epoch
        tracker.log(dict(_numbers(place, deployed)), step or 0)
        for file in deployed.files if params.tracking.models else ():
            tracker.artifact(place / file.file, folder="deployed")


def _numbers(place: Path, deployed: DeployedStudent) -> Iterator[tuple[str, float]]:
    """``deployed/int8/miou`` and the like; ``deployed/own`` is the network itself."""
    yield from _form("own", deployed.own)
    for file in deployed.files:
        counts = read_arrays(place / file.confusion, {"confusion": ("integer", 3)})["confusion"]
        yield f"deployed/{file.format}/miou", mean_iou(counts.sum(axis=0))
        yield from _form(file.format, file)


def _form(name: str, form: Form) -> Iterator[tuple[str, float]]:
    yield f"deployed/{name}/p50_ms", form.p50_ms
    yield f"deployed/{name}/p95_ms", form.p95_ms
    yield f"deployed/{name}/megabytes", form.bytes / 1e6
