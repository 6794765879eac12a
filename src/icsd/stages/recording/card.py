"""The model card of a registered network."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from icsd.records import MetricsRecord, NetworkRecord, TrainRecord
from icsd.reporting.page.answer import verdict
from icsd.reporting.results import Run
from icsd.reporting.style import architecture_label, method_label, network_label
from icsd.reporting.tables.cells import records
from icsd.reporting.tables.deployment import FORMATS, OWN, against_its_network

Row = Mapping[str, Any]
WEAK = 0.05
"""A class with a lower IoU is named as one that the network hardly recognises."""


def model_card(name: str, runs: Sequence[Run], row: Row, files: pd.DataFrame | None = None) -> str:
    """The model card of a method's first run, in Markdown.

    Args:
        name: Name of the registered model.
        runs: The method's evaluated runs of one student, by seed.
        row: The method's row of the comparison.
        files: The student's rows of the table of files; None if there are none.
    """
    first = runs[0]
    metrics, training = first.metrics, first.training
    assert metrics is not None
    lines = [
        f"## {method_label(first.method)} · {network_label(first.student)} on {metrics.dataset}",
        f"Semantic segmentation into {len(metrics.classes)} classes: {', '.join(metrics.classes)}. "
        f"{metrics.parameters:,} parameters. The network of seed {first.seed}, not chosen for its score.",
        "### Scores",
        *_scores(metrics, row, num_seeds=len(runs)),
        *_files(first, files),
        *(["### Protocol", _protocol(training)] if training is not None else []),
        "### Limits",
        "\n".join(f"- {limit}" for limit in _limits(metrics, training, num_seeds=len(runs))),
        "### Use",
        _use(name, first.method),
        "The input is RGB images as read from files, uint8 [B, H, W, 3], of any size; the output is logits "
        "[B, C, H, W].",
    ]
    return "\n\n".join(lines)


def _scores(metrics: MetricsRecord, row: Row, *, num_seeds: int) -> list[str]:
    spread: str = "" if pd.isna(row["miou_std"]) else f" ± {row['miou_std']:.2f}"
    own = (
        f"mIoU {100 * metrics.miou:.2f} %, pixel accuracy {100 * metrics.pixel_accuracy:.2f} % on "
        f"{metrics.num_images} images of the split {metrics.split}. Over {num_seeds} seeds: "
        f"mIoU {row['miou_mean']:.2f}{spread} %."
    )
    if pd.isna(row["delta_mean"]):
        return [own]
    gain = f"Against the student alone: {row['delta_mean']:+.2f} points"
    if pd.isna(row["delta_low"]):
        return [own, f"{gain}; no interval can be given."]
    interval = f"95 % interval {row['delta_low']:+.2f} to {row['delta_high']:+.2f}"
    return [own, f"{gain} ({interval}): {verdict({**row, 'n': row['n_pairs']})}."]


def _files(run: Run, files: pd.DataFrame | None) -> list[str]:
    """A section on the network's files; empty if it has none."""
    if files is None:
        return []
    own = files[(files["method"] == run.method) & (files["form"] != OWN)]
    if not len(own):
        return []
    lines = [
        f"- {FORMATS[each['form']]}: {each['megabytes']:.2f} MB, {each['p50_ms']:.2f} ms an image (median; "
        f"95th percentile {each['p95_ms']:.2f}), mIoU {each['miou']:.2f} %. {against_its_network(each)}"
        for each in records(own)
    ]
    return ["### Files", "\n".join(lines)]


def _protocol(training: TrainRecord) -> str:
    start = "from ImageNet weights" if training.pretrained else "from scratch"
    if isinstance(training.pretrained, str):
        start = f"from the weights in {training.pretrained}"
    return (
        f"{training.num_train_images} training images{training.and_unlabelled}, "
        f"{training.num_validation_images} for validation; "
        f"{training.epochs} epochs, batch {training.batch}, "
        f"crop {training.crop[0]} × {training.crop[1]}, {start}, "
        f"{_network(training.network)}; "
        f"weights of the loss: {training.weights_source or 'none'}. The run has all parameters."
    )


def _network(network: NetworkRecord) -> str:
    label = architecture_label(network.architecture, network.backbone)
    if network.architecture == network.backbone:
        return label
    head = "" if network.head_width is None else f", head of width {network.head_width:g}"
    return f"{label}, width {network.width:g}{head}, output stride {network.output_stride}"


def _limits(metrics: MetricsRecord, training: TrainRecord | None, *, num_seeds: int) -> list[str]:
    limits = [f"Trained on {metrics.dataset} alone; how it does on other images is unknown."]
    weak = [
        name
        for name, iou in zip(metrics.classes, metrics.iou_per_class, strict=True)
        if iou is not None and iou < WEAK
    ]
    if weak:
        limits.append(f"Hardly recognises (IoU below {100 * WEAK:.0f} %): {', '.join(weak)}.")
    if metrics.absent_classes:
        limits.append(f"Never measured, absent from the labels: {', '.join(metrics.absent_classes)}.")
    if training is not None and training.network.width < 1:
        limits.append(f"A narrow network ({training.network.width:g} of the published width).")
    if num_seeds < 2:
        limits.append("One training: how much of the score is chance is unknown.")
    return limits


def _use(name: str, method: str) -> str:
    lines = [
        "```python",
        "import mlflow, numpy as np, PIL.Image",
        f'model = mlflow.pyfunc.load_model("models:/{name}@{method}")',
        'image = np.asarray(PIL.Image.open("image.png").convert("RGB"))',
        "classes = model.predict(image[None]).argmax(1)[0]  # [H, W]",
        "```",
    ]
    return "\n".join(lines)
