"""Students as registered models: one version per method, a card each, and the alias ``champion``."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from icsd import tracking
from icsd.params import Params, digest_of
from icsd.reporting.champion import Decision, decide, first_champion
from icsd.reporting.differences import Difference, Differences
from icsd.reporting.results import Results, Run
from icsd.reporting.style import method_label, network_label
from icsd.reporting.tables.deployment import gated
from icsd.stages.recording.card import model_card
from icsd.tracking import Tag

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


Scores = Mapping[int, float]
"""Seed -> mIoU, a fraction."""


def register_students(
    root: Path,
    params: Params,
    results: Results,
    comparison: pd.DataFrame,
    differences: pd.DataFrame,
    files: pd.DataFrame | None = None,
) -> None:
    """Register one network per student and method, and move the alias ``champion`` if a test supports it.

    The network is that of the first seed, so that no score on the reported images selects it. The same
    weights stay the same version when they are registered again. Without logged models
    (``tracking.models: false``) or a reachable store, nothing happens.

    Args:
        root: The repository.
        params: The parameters of this execution.
        results: The results of its grid.
        comparison: The report's comparison of the same results, a row per student and method.
        differences: The differences between every two methods, from the same report.
        files: The champions' files, from the same report; None if there are none.
    """
    if not params.tracking.models:
        return
    for student in results.students:
        rows = comparison[comparison["student"] == student].to_dict("records")
        by_method = {row["method"]: {str(key): value for key, value in row.items()} for row in rows}
        tracking.when_reachable(
            root,
            partial(
                _register,
                root,
                params,
                results,
                by_method,
                _by_pair(differences, student),
                None if files is None else files[files["student"] == student],
                student=student,
            ),
        )


def _register(
    root: Path,
    params: Params,
    results: Results,
    rows: Mapping[str, dict[str, Any]],
    differences: Differences,
    files: pd.DataFrame | None,
    client: "MlflowClient",
    *,
    student: str,
) -> None:
    registry = tracking.Registry(client)
    name = tracking.registered_model_name(params.dataset, student)
    registry.describe(name, _description(params.dataset, student))
    versions = {}
    absent: list[str] = []
    images = ""
    for method in results.methods:
        runs = results.of(student, method)
        if not runs or (run_id := _run_id(client, runs[0])) is None:
            continue
        images = _images(runs[0])
        own = {run.seed: run.metrics.miou for run in runs if run.metrics}
        version = registry.put(
            name,
            run_id=run_id,
            weights_sha256=runs[0].metrics.weights_sha256 if runs[0].metrics else "",
            tags=_tags(root, params, runs[0], own, images) | _trained_from(results, runs[0]),
            card=model_card(name, runs, rows[method], files),
        )
        if version is None:
            absent.append(method_label(method))
            continue
        versions[method] = version
        registry.alias(name, method, version.number)
    if absent:
        print(
            f"models:/{name}: not registered, because this store does not have their logged models: "
            f"{', '.join(absent)}",
            flush=True,
        )
    if versions:
        gate = partial(gated, files=files) if params.deploy.gate else None
        _name_champion(registry, name, versions, differences, images, gate)


def _name_champion(
    registry: tracking.Registry,
    name: str,
    versions: Mapping[str, tracking.Version],
    differences: Differences,
    images: str,
    gate: Callable[[Decision], Decision] | None,
) -> None:
    """Move the alias if a challenger is better; the student alone is the first champion.

    A network that was retrained from the same inputs, perhaps on another machine, is still the same champion.
    The gate, if there is one, checks a challenger's exported files.
    """
    champion = registry.champion(name)
    if champion is None:
        champion = versions[first_champion(list(versions))]
        registry.alias(name, tracking.CHAMPION, champion.number)
    method = champion.tags[Tag.METHOD]
    now = versions.get(method)
    if champion.tags.get(Tag.IMAGES) != images:
        reason = f"{method_label(method)} stays: it was measured on other images or classes"
        decision = Decision(None, reason)
    elif now is None or not _is_same_training(champion, now):
        decision = Decision(None, _untested(champion, now))
    else:
        if now.number != champion.number:
            champion = now
            registry.alias(name, tracking.CHAMPION, champion.number)
        decision = decide(method, {each: differences[each, method] for each in versions if each != method})
        decision = gate(decision) if gate else decision
    if decision.method is not None:
        champion = versions[decision.method]
        registry.alias(name, tracking.CHAMPION, champion.number)
    registry.note(name, Tag.CHAMPION_REASON, decision.reason)
    print(f"models:/{name}@champion is version {champion.number}: {decision.reason}", flush=True)


def _is_same_training(champion: tracking.Version, now: tracking.Version) -> bool:
    inputs = champion.tags.get(Tag.TRAINED_FROM)
    return now.number == champion.number or (bool(inputs) and inputs == now.tags[Tag.TRAINED_FROM])


def _untested(champion: tracking.Version, now: tracking.Version | None) -> str:
    name = method_label(champion.tags[Tag.METHOD])
    reason = f"{name} stays, untested: its scores on each image are not part of this grid"
    if now is None:
        return reason
    return (
        f"{reason}, whose version {now.number} was trained otherwise; "
        "to take that one, move the alias by hand"
    )


def _by_pair(table: pd.DataFrame, student: str) -> Differences:
    """A student's differences from the report's table, in both directions."""
    found: dict[tuple[str, str], Difference] = {}
    for row in table[table["student"] == student].to_dict("records"):
        mean, p = (None if pd.isna(row[name]) else float(row[name]) for name in ("delta_mean", "p_holm"))
        each = Difference(mean, n_pairs=int(row["n_pairs"]), p_holm=p)
        found[row["method"], row["reference"]], found[row["reference"], row["method"]] = each, -each
    return found


def _run_id(client: "MlflowClient", run: Run) -> str | None:
    mlflow = run.cost.mlflow if run.cost else None
    if mlflow is None:
        return None
    return mlflow.run_id or tracking.run_id_of_key(client, mlflow.experiment, mlflow.key)


def _images(run: Run) -> str:
    """Digest of the images and classes of a score; networks can be compared if their digests are equal."""
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


def _trained_from(results: Results, run: Run) -> dict[str, str]:
    """The tag that identifies a retrained network by its inputs, even if its weights differ in some bits."""
    described = [each.training for each in (run, results.teacher)]
    determined = [
        {"numbers": each.params, **each.provenance.model_dump(exclude={"teacher"})}
        for each in described
        if each is not None and each.provenance is not None
    ]
    return {Tag.TRAINED_FROM: digest_of(determined) if len(determined) == len(described) else ""}


def _description(dataset: str, student: str) -> str:
    return (
        f"{network_label(student)} on {dataset}: one version per method and training, the "
        "network of the first seed. Each method's latest version has an alias. `champion` starts at the "
        "student alone and moves only to a method whose difference to it the report establishes (seeds and "
        f"images, corrected for all pairs); the tag {Tag.CHAMPION_REASON} says why it is where it is."
    )
