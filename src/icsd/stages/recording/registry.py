"""Students as registered models: one version per method, a card each, and the alias ``champion``."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from icsd import tracking
from icsd.params import Params, digest_of
from icsd.reporting.results import ALONE, Results, Run
from icsd.reporting.style import method_label, network_label
from icsd.stages.recording.card import model_card
from icsd.stages.recording.champion import Decision, Scores, decide
from icsd.tracking import Tag

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def register_students(root: Path, params: Params, results: Results, comparison: pd.DataFrame) -> None:
    """Register one network of every student and method, and move the alias ``champion`` where a test says so.

    The network is that of the first seed, so that no score on the reported images selects it. The same
    weights stay the same version when they are registered again. Without logged models
    (``tracking.models: false``) or a reachable store, nothing happens.

    Args:
        root: The repository.
        params: Of this execution.
        results: Of its grid.
        comparison: The report's comparison of the same results, a row per student and method.
    """
    if not params.tracking.models:
        return
    for student in results.students:
        rows = comparison[comparison["student"] == student].to_dict("records")
        by_method = {row["method"]: {str(key): value for key, value in row.items()} for row in rows}
        tracking.when_reachable(root, partial(_register, root, params, results, by_method, student=student))


def _register(
    root: Path,
    params: Params,
    results: Results,
    rows: Mapping[str, dict[str, Any]],
    client: "MlflowClient",
    *,
    student: str,
) -> None:
    registry = tracking.Registry(client)
    name = tracking.registered_model_name(params.dataset, student)
    registry.describe(name, _description(params.dataset, student))
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
            tags=_tags(root, params, runs[0], own, images),
            card=model_card(name, runs, rows[method]),
        )
        if version is not None:
            versions[method], scores[method] = version, own
            registry.alias(name, method, version.number)
    if versions:
        _name_champion(registry, name, versions, scores, images)


def _name_champion(
    registry: tracking.Registry,
    name: str,
    versions: Mapping[str, tracking.Version],
    scores: Mapping[str, Scores],
    images: str,
) -> None:
    """Move the alias if a challenger is better; the student alone is the first champion."""
    champion = registry.champion(name)
    if champion is None:
        champion = versions[ALONE if ALONE in versions else next(iter(versions))]
        registry.alias(name, tracking.CHAMPION, champion.number)
    method = champion.tags[Tag.METHOD]
    if champion.tags.get(Tag.IMAGES) != images:
        reason = f"{method_label(method)} stays: it was measured on other images or classes"
        decision = Decision(None, reason)
    else:
        incumbent = {int(seed): value for seed, value in json.loads(champion.tags[Tag.MIOU_BY_SEED]).items()}
        challengers = {
            challenger: scores[challenger]
            for challenger, version in versions.items()
            if version.number != champion.number
        }
        decision = decide(method, incumbent, challengers)
    if decision.method is not None:
        champion = versions[decision.method]
        registry.alias(name, tracking.CHAMPION, champion.number)
    registry.note(name, Tag.CHAMPION_REASON, decision.reason)
    print(f"models:/{name}@champion is version {champion.number}: {decision.reason}", flush=True)


def _run_id(run: Run) -> str | None:
    return run.cost.mlflow.run_id if run.cost and run.cost.mlflow else None


def _images(run: Run) -> str:
    """Digest of what a score is measured on: networks can be compared if theirs are equal."""
    assert run.metrics is not None
    return digest_of({"ids": list(run.ids), "classes": list(run.metrics.classes)})


def _tags(root: Path, params: Params, run: Run, scores: Scores, images: str) -> dict[str, str]:
    return {
        Tag.DATASET: params.dataset,
        Tag.STUDENT: run.student,
        Tag.METHOD: run.method,
        Tag.SEED: str(run.seed),
        Tag.GROUP: tracking.group_id(root, params.digest()),
        Tag.MIOU_BY_SEED: json.dumps(dict(sorted(scores.items()))),
        Tag.IMAGES: images,
    }


def _description(dataset: str, student: str) -> str:
    return (
        f"{network_label(student)} (DeepLabV3+) on {dataset}: one version per method and training, the "
        "network of the first seed. Each method's latest version has an alias. `champion` starts at the "
        "student alone and moves only if a paired t-test over the seeds, corrected for the number of "
        f"challengers, finds another method better; the tag {Tag.CHAMPION_REASON} says why it is where it is."
    )
