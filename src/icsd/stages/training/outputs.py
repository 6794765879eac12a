"""The files of a trained network. All but costs/ are byte-identical whenever the run is repeated."""

import csv
import io
import platform
import resource
import sys
from datetime import UTC, datetime
from typing import Any, cast

import torch

from icsd.arrays import write_arrays
from icsd.data.prepared import TRAIN, VALIDATION
from icsd.data.subsets import chosen_images, other_images
from icsd.files import folder_written_whole, sha256_of, write_bytes
from icsd.models.contract import Network
from icsd.models.names import portable
from icsd.models.weights import save_weights
from icsd.params import StudentTraining
from icsd.records import (
    CostRecord,
    GitRecord,
    MlflowRecord,
    NetworkRecord,
    TrainRecord,
    write_record,
)
from icsd.runs import main_root
from icsd.stages.device import device_name
from icsd.stages.initial_weights import name_of, source_of
from icsd.stages.inputs import trains
from icsd.stages.networks import network_of, numbers_of_network
from icsd.stages.training.admission import AdmissionRecord
from icsd.stages.training.process import Run
from icsd.stages.training.setup import Setup
from icsd.training.loop import Progress, Row
from icsd.training.monitor import Monitor


def write_result(run: Run, setup: Setup, progress: Progress, monitor: Monitor, diverged: str | None) -> None:
    """Write the folder with weights, history and description, all or nothing.

    A student that ``diverged`` keeps its last weights, and none of its epochs is selected; its evaluation
    detects that.
    """
    best = setup.schedule.select == "best_val"
    if best and not diverged:
        setup.student.load_state_dict(cast(dict[str, torch.Tensor], progress.best_weights))
    selected = None if diverged else progress.best_epoch if best else progress.epoch
    with folder_written_whole(run.folder) as folder:
        save_weights(setup.student, folder / run.weights.name)
        write_bytes(folder / "history.csv", history_csv(progress.history))
        if arrays := monitor.arrays():
            write_arrays(folder / "similarity.npz", arrays)
        digest = sha256_of(folder / run.weights.name)
        record = _train_record(run, digest, diverged=diverged, selected_epoch=selected)
        write_record(folder / "train.json", record)


def write_loaded(run: Run, network: Network, admission: AdmissionRecord) -> None:
    """Like ``write_result``, for a teacher that was not trained: its history has no epochs."""
    with folder_written_whole(run.folder) as folder:
        save_weights(network, folder / run.weights.name)
        write_bytes(folder / "history.csv", history_csv([]))
        write_record(folder / "admission.json", admission)
        digest = sha256_of(folder / run.weights.name)
        write_record(folder / "train.json", _train_record(run, digest, diverged=None, selected_epoch=0))


def history_csv(history: list[Row]) -> bytes:
    """One line per epoch; for a run that diverged in its first epoch, only the header ``epoch``."""
    columns = list(dict.fromkeys(["epoch", *(key for row in history for key in row)]))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def _train_record(
    run: Run, weights_sha256: str, *, diverged: str | None, selected_epoch: int | None
) -> TrainRecord:
    job, key, params = run.job, run.job.key, run.job.params
    height, width = params.images.crop
    trained = trains(params, key)
    network = network_of(params, key)
    loaded = network.weights
    if loaded is None and key.is_teacher and not params.teacher.train:
        loaded = portable(str(network.library_name))
    return TrainRecord(
        kind="teacher" if key.is_teacher else "student",
        dataset=params.dataset,
        method=None if key.is_teacher else key.method,
        network=NetworkRecord.model_validate(numbers_of_network(params, key)),
        seed=key.seed,
        pretrained=name_of(source_of(params, key)),
        loaded=None if loaded is None else str(name_of(loaded)),
        epochs=job.training.epochs if trained else 0,
        batch=job.training.batch,
        crop=(height, width),
        num_train_images=_num_train_images(run) if trained else 0,
        num_unlabelled_images=_num_unlabelled_images(run),
        num_validation_images=run.data.num_images(VALIDATION),
        selected=job.training.select,
        selected_epoch=selected_epoch,
        diverged=diverged,
        weights_sha256=weights_sha256,
        weights_source=job.weights_source,
        params=job.numbers,
        provenance=run.provenance,
    )


def write_cost(
    run: Run,
    *,
    seconds: float,
    epochs: int,
    images: int,
    extra_parameters: int,
    resumed: int,
    cached_epochs: int = 0,
    seconds_saved: float = 0.0,
    processor_seconds: float | None = None,
    processor_saved: float = 0.0,
    started: datetime,
    mlflow: MlflowRecord | None,
    git: GitRecord,
) -> None:
    """Write the measurements that differ in every run, apart from the files that other stages depend on.

    Args:
        run: The run that was trained.
        seconds: Duration of the training.
        epochs: Epochs that were started; 0 for a network that was not trained.
        images: Images trained on, each counted as often as it was seen.
        extra_parameters: Parameters of the method's own modules.
        resumed: How often training was resumed.
        cached_epochs: Epochs for which the teacher did not run, since its logits were cached.
        seconds_saved: Seconds that the cache saved.
        processor_seconds: CPU time that training took, in seconds.
        processor_saved: CPU time that the cache saved, in seconds.
        started: When this process started the training.
        mlflow: The MLflow run.
        git: The code's commit.
    """
    device = run.fabric.device
    record = CostRecord(
        seconds_training=seconds,
        seconds_per_epoch=seconds / epochs if epochs else None,
        images_per_second=images / seconds if epochs else None,
        peak_memory_mb=_peak_memory_mb(device),
        device=device_name(device),
        machine=f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        torch=torch.__version__,
        extra_parameters=extra_parameters,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        resumed=resumed,
        cached_epochs=cached_epochs,
        seconds_saved=seconds_saved,
        processor_seconds=processor_seconds,
        processor_saved=processor_saved,
        mlflow=mlflow,
        git=git,
        state=str(run.state.relative_to(main_root())),
    )
    write_record(run.cost, record)


def cost_of(setup: Setup, progress: Progress, *, batch: int) -> dict[str, Any]:
    """The arguments of ``write_cost`` that describe a training."""
    epochs = min(progress.epoch + 1, setup.schedule.epochs)  # an epoch that diverged was started
    method = setup.distiller.method
    return {
        "seconds": progress.seconds,
        "epochs": epochs,
        "images": epochs * setup.schedule.steps * batch,
        "extra_parameters": sum(p.numel() for p in method.parameters()) if method else 0,
        "resumed": progress.resumed,
        "cached_epochs": progress.cached_epochs,
        "seconds_saved": progress.seconds_saved,
        "processor_seconds": progress.processor_seconds,
        "processor_saved": progress.processor_saved,
    }


def _peak_memory_mb(device: torch.device) -> float:
    """Peak memory of the device on CUDA, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes on macOS, KiB elsewhere


def _num_unlabelled_images(run: Run) -> int:
    training = run.job.training
    wanted = training.unlabelled if isinstance(training, StudentTraining) else 0
    return len(other_images(run.data.num_images(TRAIN), training.subset, wanted))


def _num_train_images(run: Run) -> int:
    return len(chosen_images(run.data.num_images(TRAIN), run.job.training.subset))
