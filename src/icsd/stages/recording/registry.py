"""Students as registered models: a card each, and a champion that only a paired test replaces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from icsd import tracking
from icsd.params import Params, digest_of
from icsd.reporting.answer import LEVEL, verdict
from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.statistics import holm, paired_p
from icsd.reporting.style import method_label, network_label

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SCORES, IMAGES, METHOD = "icsd.miou_by_seed", "icsd.images", "icsd.method"
Scores = Mapping[int, float]
"""Seed -> mIoU, a fraction."""


@dataclass(frozen=True)
class Decision:
    """Who is champion now, and why.

    Attributes:
        method: The challenger that takes over; None when the champion stays.
        reason: A sentence.
    """

    method: str | None
    reason: str


def register_students(root: Path, params: Params, results: Results, comparison: pd.DataFrame) -> None:
    """Register one network of every student and method, and move the alias ``champion`` where that is due.

    The network is that of the first seed, so that no score on the reported images selects it. Registered
    again, the same weights stay the same version. Without logged models (``tracking.models: false``) or
    without a reachable store nothing happens.

    Args:
        root: The repository.
        params: Of this execution.
        results: Of its grid.
        comparison: From :func:`icsd.reporting.tables.comparison`, of the same results.
    """
    if not params.tracking.models:
        return
    for student in results.students:
        rows = comparison[comparison["student"] == student].to_dict("records")
        by_method = {row["method"]: {str(key): value for key, value in row.items()} for row in rows}
        tracking.when_reachable(root, partial(_register, params, results, by_method, student=student))


def decide(champion: str, incumbent: Scores, challengers: Mapping[str, Scores]) -> Decision:
    """Whether a challenger is better than the champion by a paired test on the same seeds.

    One paired t-test per challenger over the seeds that both have, corrected by Holm for their number. Of
    those that pass at 5 % and are higher, the one with the largest mean difference takes over.

    Args:
        champion: Its method, for the sentence.
        incumbent: Its scores.
        challengers: Method -> its scores on the same images.
    """
    differences = {
        method: [scores[seed] - incumbent[seed] for seed in sorted(scores.keys() & incumbent.keys())]
        for method, scores in challengers.items()
    }
    found = holm([paired_p(values) for values in differences.values()])
    corrected = {method: p for method, p in zip(differences, found, strict=True) if p is not None}
    gains = {method: sum(values) / len(values) for method, values in differences.items() if values}
    better = [method for method, p in corrected.items() if p < LEVEL and gains[method] > 0]
    name = method_label(champion)
    if better:
        best = max(better, key=lambda method: gains[method])
        n = len(differences[best])
        return Decision(
            best,
            f"{method_label(best)} is {100 * gains[best]:.2f} points above {name}: paired t-test over {n} "
            f"seeds, p = {corrected[best]:.3g}, corrected for {len(corrected)} challengers",
        )
    if not corrected:
        return Decision(
            None,
            f"{name} stays: no challenger can be tested, for want of two common seeds or of any difference",
        )
    least = min(corrected, key=lambda method: corrected[method])
    return Decision(
        None,
        f"{name} stays: of {len(corrected)} tested none is better by a paired test at {LEVEL:.0%} "
        f"(smallest corrected p = {corrected[least]:.2f}, {method_label(least)}, "
        f"{100 * gains[least]:+.2f} points)",
    )


def _register(
    params: Params,
    results: Results,
    rows: Mapping[str, dict[str, Any]],
    client: "MlflowClient",
    *,
    student: str,
) -> None:
    registry = tracking.Registry(client)
    name = f"icsd-{params.dataset}-{student}"
    registry.describe(name, _about(params.dataset, student))
    versions, scores = {}, {}
    images = ""
    for method in results.methods:
        runs = results.of(student, method)
        if not runs or (run_id := _run_id(runs[0])) is None:
            continue
        images = _images(runs[0])
        own = {run.seed: run.metrics.miou for run in runs if run.metrics}
        version = registry.put(
            name,
            run_id=run_id,
            weights_sha256=runs[0].metrics.weights_sha256 if runs[0].metrics else "",
            tags=_tags(params, runs[0], own, images),
            card=card(name, runs, rows[method]),
        )
        if version is not None:
            versions[method], scores[method] = version, own
            registry.alias(name, method, version.number)
    if versions:
        _settle(registry, name, versions, scores, images)


def _settle(
    registry: tracking.Registry,
    name: str,
    versions: Mapping[str, tracking.Version],
    scores: Mapping[str, Scores],
    images: str,
) -> None:
    champion = registry.champion(name)
    if champion is None:
        first = ALONE if ALONE in versions else next(iter(versions))
        registry.alias(name, tracking.CHAMPION, versions[first].number)
        champion = versions[first]
    if champion.tags.get(IMAGES) != images:
        reason = f"{method_label(champion.tags[METHOD])} stays: it was measured on other images or classes"
        decision = Decision(None, reason)
    else:
        incumbent = {int(seed): value for seed, value in json.loads(champion.tags[SCORES]).items()}
        challengers = {
            method: scores[method]
            for method, version in versions.items()
            if version.number != champion.number
        }
        decision = decide(champion.tags[METHOD], incumbent, challengers)
    if decision.method is not None:
        champion = versions[decision.method]
        registry.alias(name, tracking.CHAMPION, champion.number)
    registry.note(name, "icsd.champion_reason", decision.reason)
    print(f"models:/{name}@champion is version {champion.number}: {decision.reason}", flush=True)


def _run_id(run: Run) -> str | None:
    return run.cost.mlflow.run_id if run.cost and run.cost.mlflow else None


def _images(run: Run) -> str:
    """Digest of what a score is measured on: equal for networks that can be compared."""
    assert run.metrics is not None
    return digest_of({"ids": list(run.ids), "classes": list(run.metrics.classes)})


def _tags(params: Params, run: Run, scores: Scores, images: str) -> dict[str, str]:
    return {
        "icsd.dataset": params.dataset,
        "icsd.student": run.student,
        METHOD: run.method,
        "icsd.seed": str(run.seed),
        "icsd.group": tracking.group_id(params.digest()),
        SCORES: json.dumps(dict(sorted(scores.items()))),
        IMAGES: images,
    }


def _about(dataset: str, student: str) -> str:
    return (
        f"{network_label(student)} (DeepLabV3+) on {dataset}, one version per method and training, of the "
        "first seed. An alias per method means its latest version. `champion` begins at the student alone "
        "and moves only when a paired t-test over the seeds, corrected for the number of challengers, says "
        "that another is better; the tag icsd.champion_reason says how it stands."
    )


def card(name: str, runs: list[Run], row: Mapping[str, Any]) -> str:
    """The model card of a method's first network, Markdown.

    Args:
        name: Of the registered model.
        runs: The method's evaluated runs of one student, by seed.
        row: The method's row of the comparison.
    """
    first = runs[0]
    metrics, training = first.metrics, first.training
    assert metrics is not None
    lines = [
        f"## {method_label(first.method)} · {network_label(first.student)} on {metrics.dataset}",
        f"Semantic segmentation into {len(metrics.classes)} classes: {', '.join(metrics.classes)}. "
        f"{metrics.parameters:,} parameters. The network of seed {first.seed}, not chosen for its score.",
        "### Scores",
        f"mIoU {100 * metrics.miou:.2f} %, pixel accuracy {100 * metrics.pixel_accuracy:.2f} % on "
        f"{metrics.num_images} images of the split {metrics.split}. Over {len(runs)} seeds: "
        f"mIoU {_spread(row)} %.",
    ]
    if pd.notna(row["delta_mean"]):
        lines.append(
            f"Against the student alone: {row['delta_mean']:+.2f} points (95 % interval "
            f"{row['delta_low']:+.2f} to {row['delta_high']:+.2f}): {verdict({**row, 'n': row['n_pairs']})}."
            if pd.notna(row["delta_low"])
            else f"Against the student alone: {row['delta_mean']:+.2f} points; no interval can be given."
        )
    if training is not None:
        start = "from scratch" if training.pretrained is False else "from ImageNet weights"
        lines += [
            "### Protocol",
            f"{training.num_train_images} training images, {training.num_validation_images} for validation; "
            f"{training.epochs} epochs, batch {training.batch}, "
            f"crop {training.crop[0]} × {training.crop[1]}, {start}, width {training.network.width:g}, "
            f"output stride {training.network.output_stride}; "
            f"weights of the loss: {training.weights_source or 'none'}. All parameters are the run's.",
        ]
    lines += ["### Limits", "\n".join(f"- {limit}" for limit in _limits(first, runs))]
    use = [
        "```python",
        "import mlflow, numpy as np, PIL.Image",
        f'model = mlflow.pyfunc.load_model("models:/{name}@{first.method}")',
        'image = np.asarray(PIL.Image.open("image.png").convert("RGB"))',
        "classes = model.predict(image[None]).argmax(1)[0]  # [H, W]",
        "```",
    ]
    taken = "RGB images as they are read, uint8 [B, H, W, 3], any size; logits [B, C, H, W]."
    return "\n\n".join([*lines, "### Use", "\n".join(use), taken])


def _spread(row: Mapping[str, Any]) -> str:
    if pd.isna(row["miou_std"]):
        return f"{row['miou_mean']:.2f}"
    return f"{row['miou_mean']:.2f} ± {row['miou_std']:.2f}"


def _limits(first: Run, runs: list[Run]) -> list[str]:
    assert first.metrics is not None
    limits = [f"Trained on {first.metrics.dataset} alone; nothing is known of other images."]
    weak = [
        name
        for name, value in zip(first.metrics.classes, first.metrics.iou_per_class, strict=True)
        if value is not None and value < 0.05
    ]
    if weak:
        limits.append(f"Hardly finds (IoU below 5 %): {', '.join(weak)}.")
    if first.metrics.absent_classes:
        limits.append(f"Never measured, absent from the labels: {', '.join(first.metrics.absent_classes)}.")
    if first.training is not None and first.training.network.width < 1:
        limits.append(f"A narrow network ({first.training.network.width:g} of the published width).")
    if len(runs) < 2:
        limits.append("One training: how much chance is in the score is unknown.")
    return limits
