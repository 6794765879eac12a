"""params.yaml and the preset of its dataset, read, merged and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from icsd.errors import UserError, did_you_mean
from icsd.params.contradictions import contradictions
from icsd.params.messages import explain
from icsd.params.schema import Params
from icsd.yaml_files import read_yaml

PRESET_ONLY = frozenset({"reader", "sources", "classes", "splits", "generated"})
"""Keys of ``data`` that stages depend on in the preset alone; params.yaml must not set them."""


def load_params(root: Path) -> Params:
    """Read and check ``root/params.yaml`` with the preset that it names.

    Raises:
        UserError: Any mistake, all of them at once, each with its full path and what is allowed.
    """
    written = read_yaml(root / "params.yaml")
    dataset = written.get("dataset")
    presets = root / "configs" / "datasets"
    if not isinstance(dataset, str) or not (presets / f"{dataset}.yaml").is_file():
        known = sorted(path.stem for path in presets.glob("*.yaml"))
        raise UserError(f"params.yaml: dataset: no preset {dataset!r}{did_you_mean(str(dataset), known)}")
    preset_name = f"configs/datasets/{dataset}.yaml"
    for key in sorted(PRESET_ONLY & set(written.get("data") or {})):
        raise UserError(
            f"params.yaml: data.{key}: says what the dataset is, so it belongs in {preset_name}: change it "
            f"there, or give -S '{preset_name}:data.{key}=...' (params.yaml may override the rest)"
        )
    return parse_params(merge(read_yaml(presets / f"{dataset}.yaml"), written), preset=preset_name)


def parse_params(tree: Mapping[str, Any], *, preset: str) -> Params:
    """Check a merged tree; ``preset`` is only named in messages."""
    try:
        params = Params.model_validate(tree)
    except ValidationError as error:
        lines = sorted({_explain(item) for item in error.errors()})
        raise UserError(
            f"params.yaml (with {preset}):\n" + "\n".join(f"  {line}" for line in lines)
        ) from None
    problems = list(contradictions(params))
    if problems:
        raise UserError(f"params.yaml (with {preset}):\n" + "\n".join(f"  {line}" for line in problems))
    return params


def merge(preset: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """``written`` over ``preset``, block by block; a written null leaves the preset's value."""
    merged = dict(preset)
    for key, value in written.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


def _explain(error: ErrorDetails) -> str:
    return explain(
        error,
        schema=Params,
        missing="missing, and the preset does not set it either",
        null="null here and in the preset; give a value",
    )
