"""Networks that differ from the baseline's although none of their dependencies does.

On one machine the same inputs give the same bytes. If they do not, an experiment is compared with results of
another machine, torch or ``runtime``, and no parameter caused the difference.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from icsd.runs import TEACHER
from icsd.yaml_files import read_yaml

STAGES = {True: "train_teacher", False: "baselines"}
"""Whether it is the teacher -> a stage of dvc.yaml with the dependencies of such a network."""
Hashes = Mapping[str, str | None]


def read_dependencies(root: Path) -> dict[bool, list[str]]:
    """Whether it is the teacher -> a network's dependencies as in dvc.yaml; empty if a stage is missing."""
    try:
        stages = read_yaml(root / "dvc.yaml")["stages"]
        return {is_teacher: list(stages[name]["deps"]) for is_teacher, name in STAGES.items()}
    except (ValueError, KeyError, TypeError):
        return {}


def hashes(entry: Mapping[str, Any], kind: str) -> dict[str, str | None]:
    """Path -> hash, from an entry of ``dvc exp show``; ``kind`` is ``deps`` or ``outs``."""
    listed = (entry.get("data") or {}).get(kind) or {}
    return {path: (value or {}).get("hash") for path, value in listed.items()}


def trained_elsewhere(
    own: Mapping[str, Any], base: Mapping[str, Any], dependencies: Mapping[bool, list[str]]
) -> Iterator[str]:
    """The networks of ``own`` that differ from those of ``base`` although their dependencies are equal.

    Args:
        own: An entry of ``dvc exp show``.
        base: The entry of the commit that it started from.
        dependencies: From ``read_dependencies``.

    Yields:
        Paths below ``runs/<dataset>/``: ``teacher``, ``kd/resnet18-0``.
    """
    outs, before = hashes(own, "outs"), hashes(base, "outs")
    inputs, inputs_before = hashes(own, "deps"), hashes(base, "deps")
    for path in sorted(outs.keys() & before.keys()):
        folder, _, rest = path.partition("/")
        dataset, _, name = rest.partition("/")
        if folder != "runs" or not name or outs[path] == before[path] or None in (outs[path], before[path]):
            continue
        wanted = [_filled(dep, dataset, name) for dep in dependencies.get(name == TEACHER, [])]
        known = [dep for dep in wanted if inputs.get(dep) and inputs_before.get(dep)]
        if wanted and known == wanted and all(inputs[dep] == inputs_before[dep] for dep in wanted):
            yield name


def _filled(dep: str, dataset: str, name: str) -> str:
    method, _, run = name.partition("/")
    student = run.rpartition("-")[0]
    for key, value in (("dataset", dataset), ("item.method", method), ("item.student", student)):
        dep = dep.replace("${" + key + "}", value)
    return dep
