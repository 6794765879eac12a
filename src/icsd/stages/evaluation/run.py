"""Stages ``evaluate_*``: networks on the reported split, as numbers in files and in their MLflow runs."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from icsd import tracking
from icsd.core import metrics
from icsd.data.loaders import EvalBatches
from icsd.data.shards import ShardedSplit
from icsd.data.transforms import IMAGENET_MEAN, IMAGENET_STD, prepare
from icsd.datasets import DATASETS
from icsd.errors import UserError
from icsd.evaluation.measuring import Evaluated, evaluate, kept_indices
from icsd.files import sha256_of, write_json
from icsd.models import DeepLabV3Plus
from icsd.models.cost import flops, parameters
from icsd.models.weights import load_network
from icsd.params import Params
from icsd.runs import RunKey, data_folder, main_root, state_root
from icsd.stages.device import accelerator
from icsd.stages.grid import student_keys, teacher_key
from icsd.stages.validate import checked_params


def evaluate_teacher(root: Path) -> None:
    """Measure the teacher of the dataset."""
    params = checked_params(root)
    _evaluate(root, params, [teacher_key(params)], with_teacher=False)


def evaluate_students(root: Path, *, method: str) -> None:
    """Measure every student of the grid that was trained with ``method``.

    A student whose training diverged, so that its weights are not finite, has no score: it leaves
    diverged.json instead of numbers, and the report shows a gap. One method that diverges is a result, and
    does not keep the others from theirs.

    Raises:
        UserError: The method is not in the grid, or a network is missing.
    """
    params = checked_params(root)
    if method not in params.grid.methods:
        raise UserError(
            f"--method {method}: not in the grid of params.yaml ({', '.join(params.grid.methods)})"
        )
    shutil.rmtree(root / "results" / params.dataset / method, ignore_errors=True)
    _evaluate(root, params, student_keys(params, [method]), with_teacher=True)


@dataclass(frozen=True)
class Bench:
    """What every network of an evaluation is measured on, and beside which teacher."""

    root: Path
    params: Params
    device: torch.device
    split: ShardedSplit
    images: EvalBatches
    kept: list[int]
    teacher: DeepLabV3Plus | None
    teacher_sha256: str | None


@dataclass(frozen=True)
class Measured:
    """A network on the reported split: the content of metrics.json, and the arrays beside it."""

    network: DeepLabV3Plus
    metrics: dict[str, Any]
    arrays: Evaluated


def open_bench(root: Path, params: Params, *, with_teacher: bool) -> Bench:
    """Open the reported split, and load the teacher where networks are compared with it.

    Raises:
        UserError: No data, no teacher, or no such device.
    """
    torch.set_num_threads(params.runtime.threads)
    device = torch.device(accelerator(params.runtime))
    split = ShardedSplit(root / data_folder(params.dataset), "report")
    teacher = root / teacher_key(params).weights
    return Bench(
        root=root,
        params=params,
        device=device,
        split=split,
        images=EvalBatches(
            split,
            partial(prepare, input_scale=params.images.input_scale),
            workers=params.runtime.workers,
            pin_memory=device.type == "cuda",
        ),
        kept=sorted(kept_indices(len(split), panels=params.evaluation.panels)),
        teacher=load_network(teacher).to(device).eval() if with_teacher else None,
        teacher_sha256=sha256_of(teacher) if with_teacher else None,
    )


def measure(bench: Bench, key: RunKey) -> Measured:
    """Evaluate one network; nothing is written.

    Raises:
        UserError: The network is missing or damaged.
    """
    network = load_network(bench.root / key.weights).to(bench.device).eval()
    arrays = evaluate(
        network,
        bench.images,
        num_classes=bench.params.data.classes,
        temperature=bench.params.evaluation.temperature,
        device=bench.device,
        teacher=bench.teacher,
        keep=frozenset(bench.kept),
    )
    found = _metrics(bench.params, key, network, arrays, bench.split)
    found["weights_sha256"] = sha256_of(bench.root / key.weights)
    found["teacher_sha256"] = bench.teacher_sha256
    return Measured(network, found, arrays)


def _evaluate(root: Path, params: Params, keys: list[RunKey], *, with_teacher: bool) -> None:
    bench = open_bench(root, params, with_teacher=with_teacher)
    for key in keys:
        if _diverged(root, key):
            continue
        measured = measure(bench, key)
        found = measured.metrics
        _write(root / key.results, found, measured.arrays, bench.split, bench.kept)
        _track(root, params, key, measured.network, found, example=bench.split[0][0])
        print(f"{key.title}: mIoU {100 * found['miou']:.2f} % on {found['num_images']} images", flush=True)


def _diverged(root: Path, key: RunKey) -> bool:
    """Whether a network's training did not end with a finite loss and finite weights, which is recorded."""
    state = load_network(root / key.weights).state_dict()
    broken = [name for name, value in state.items() if not value.isfinite().all()]
    loss = json.loads((root / key.folder / "train.json").read_text(encoding="utf-8")).get("diverged")
    if not (broken or loss):
        return False
    advice = "lower the learning rate or the weights of its losses, or set clip_norm, and train it again"
    if key.is_teacher:
        raise UserError(
            f"{key.weights}: the teacher's training diverged, its weights are not finite: {advice}"
        )
    write_json(
        root / key.results / "diverged.json",
        {"schema": 1, "weights_sha256": sha256_of(root / key.weights), "not_finite": broken, "loss": loss},
    )
    reason = loss or f"{len(broken)} of its tensors are not finite: {advice}"
    print(f"{key.title}: diverged, {reason}", flush=True)
    return True


def _metrics(
    params: Params, key: RunKey, network: DeepLabV3Plus, measured: Evaluated, split: ShardedSplit
) -> dict[str, Any]:
    """The content of metrics.json; docs/results.md describes it."""
    classes = DATASETS[params.data.reader].classes
    total = measured.confusion.sum(axis=0)
    height, width = (round(side * params.images.input_scale) for side in split[0][1].shape)
    return {
        "schema": 1,
        "dataset": params.dataset,
        "method": key.method,
        "student": key.network,
        "seed": key.seed,
        "split": params.data.splits.report,
        "num_images": len(split),
        "classes": list(classes),
        "miou": metrics.mean_iou(total),
        "pixel_accuracy": metrics.pixel_accuracy(total),
        "class_accuracy": metrics.mean_class_accuracy(total),
        "iou_per_class": [
            None if np.isnan(value) else float(value) for value in metrics.iou_per_class(total)
        ],
        "absent_classes": [classes[index] for index in metrics.absent_classes(total)],
        "agreement": asdict(measured.agreement) if measured.agreement else None,
        "parameters": parameters(network),
        "flops": flops(network, (3, height, width)),
        "flops_input": [3, height, width],
    }


def arrays_of(measured: Evaluated, split: ShardedSplit) -> dict[str, dict[str, Any]]:
    """The arrays behind metrics.json, by file and name; docs/results.md describes them."""
    if measured.teacher_ics is None:
        matrices = {"teacher": measured.student_ics}
    else:
        matrices = {"student": measured.student_ics, "teacher": measured.teacher_ics}
    return {
        "confusion.npz": {"confusion": measured.confusion, "ids": np.array(split.ids)},
        "ics.npz": matrices,
    }


def _write(
    folder: Path, found: dict[str, Any], measured: Evaluated, split: ShardedSplit, kept: list[int]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in arrays_of(measured, split).items():
        np.savez_compressed(folder / name, **arrays)
    _write_panels(folder / "panels.npz", split, kept, measured.predictions)
    write_json(folder / "metrics.json", found)  # last: a folder with it is complete


def _write_panels(
    path: Path, split: ShardedSplit, kept: list[int], predictions: dict[int, NDArray[np.uint8]]
) -> None:
    """The kept images with label and prediction, all at the size of the first, no side above 512."""
    if not kept:
        empty = np.zeros((0, 1, 1), np.uint8)
        np.savez_compressed(
            path,
            ids=np.array([], dtype="U1"),
            images=empty[..., None].repeat(3, 3),
            labels=empty,
            predictions=empty,
        )
        return
    pairs = [split[index] for index in kept]
    height, width = pairs[0][1].shape
    shrink = min(1.0, 512 / max(height, width))
    size = (round(width * shrink), round(height * shrink))

    def sized(pixels: NDArray[np.uint8], resample: Image.Resampling) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(pixels).resize(size, resample))

    np.savez_compressed(
        path,
        ids=np.array([split.ids[index] for index in kept]),
        images=np.stack([sized(image, Image.Resampling.BILINEAR) for image, _ in pairs]),
        labels=np.stack([sized(label, Image.Resampling.NEAREST) for _, label in pairs]),
        predictions=np.stack([sized(predictions[index], Image.Resampling.NEAREST) for index in kept]),
    )


def _track(
    root: Path,
    params: Params,
    key: RunKey,
    network: DeepLabV3Plus,
    found: dict[str, Any],
    *,
    example: NDArray[np.uint8],
) -> None:
    """Add the result, and the network as a loadable model, to the MLflow run that trained it."""
    if not params.tracking.enabled:
        return
    tracking.deliver_pending(root)
    run_id = _run_id(root / key.cost)
    if run_id is None:
        return
    tracker = tracking.open_tracker(
        root=root,
        experiment=f"icsd-{params.dataset}",
        group=tracking.group_id(params.digest()),
        name=key.title,
        tags={},
        state=state_root() / "evaluations" / "-".join(key.path.parts),
        run_id=run_id,
        amend=True,
        system_metrics=False,
    )
    with tracker:
        step = json.loads((root / key.folder / "train.json").read_text(encoding="utf-8"))["selected_epoch"]
        tracker.log(dict(_results(found)), step)
        tracker.artifact(root / key.results / "metrics.json", folder="results")
        if params.tracking.models:
            classes = DATASETS[params.data.reader].classes
            spec = tracking.ModelSpec(
                name="network",
                example=example,
                input_scale=params.images.input_scale,
                mean=IMAGENET_MEAN,
                std=IMAGENET_STD,
                metadata={"classes": list(classes), "weights_sha256": found["weights_sha256"]},
            )
            tracker.model(network, spec)


def _results(found: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name in ("miou", "pixel_accuracy", "class_accuracy"):
        yield f"report/{name}", found[name]
    for name, value in (found["agreement"] or {}).items():
        yield f"report/agreement_{name}", value
    for name, value in zip(found["classes"], found["iou_per_class"], strict=True):
        if value is not None:
            yield f"report/iou/{name}", value


def _run_id(cost: Path) -> str | None:
    """The MLflow run that trained a network; None where tracking was off or the file is gone."""
    try:
        found = json.loads(cost.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if found["mlflow"] is None:
        return None
    run_id: str | None = found["mlflow"]["run_id"]
    # A run that was trained while the server was down got its id when it was delivered, after the file.
    return run_id or tracking.run_id_in(main_root() / found["state"] / "tracking")
